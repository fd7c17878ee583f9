"""The sink `kafka`: messages as records of an Apache Kafka cluster."""

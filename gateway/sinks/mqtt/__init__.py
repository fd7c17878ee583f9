"""The sink `mqtt`: a broker of MQTT 5 or 3.1.1."""

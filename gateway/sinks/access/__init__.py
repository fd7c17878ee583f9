"""TLS, passwords and reasons for failing, as the sinks beside MQTT share them."""

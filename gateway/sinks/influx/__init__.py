"""The sink `influx`: messages as line protocol over HTTP."""

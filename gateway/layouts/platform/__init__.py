"""The layout `platform`: fixed topics and payloads, as cloud platforms want them."""

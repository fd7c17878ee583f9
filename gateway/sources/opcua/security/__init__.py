"""Certificates, trust and logins: what is offered, what is accepted. Free of the protocol library."""

"""One connection to a server, on asyncua: channel, session, services, subscriptions, history and events of it."""

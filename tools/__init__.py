"""Tools of the checkout. Nothing in `gateway/` imports them and nothing of them is installed."""

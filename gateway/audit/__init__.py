"""The subscriber's side: follow what gateways publish, and prove that nothing is missing."""

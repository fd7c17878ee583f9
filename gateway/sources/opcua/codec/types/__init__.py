"""What values of a server mean: structures, unions, enumerations and dates, by the definitions the server gives."""

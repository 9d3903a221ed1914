"""What every SMS connector shares: alphabets, segments, user data headers, receipts. Imports nothing of the product."""

"""Services of users, sign-in, sessions and rights."""

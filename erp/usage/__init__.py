"""How much the product is used: HTTP requests by day and class of status, for the charts of the home page."""

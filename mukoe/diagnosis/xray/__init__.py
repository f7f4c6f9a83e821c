"""Search X-ray: measurements of the search, model and values of one trained agent."""

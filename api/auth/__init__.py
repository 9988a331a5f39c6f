"""Who may: accounts, tokens, roles and the districts they reach."""

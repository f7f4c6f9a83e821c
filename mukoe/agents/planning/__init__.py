"""Parts shared by the agents that search: builder, policy, targets and losses."""

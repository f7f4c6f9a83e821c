"""Observations of a dm_env_rpc server with a fixed meaning.

All other observations are visible to the agent.

    reward          one number; required.
    discount        one number. Without it the discount is 0 in state TERMINATED, else 1.
    legal_actions   bool [A], legal-action mask of the `A` actions.
    action_repeat   integer whose minimum and maximum equal the number of frames per step.
    episode_result  double [5]: return, length, frames, seat and milestone of the episode that
                    has just ended, otherwise NaN; for environments whose rewards are not the
                    score.
"""

REWARD, DISCOUNT, LEGAL_ACTIONS = "reward", "discount", "legal_actions"
ACTION_REPEAT, EPISODE_RESULT = "action_repeat", "episode_result"
RESERVED = (REWARD, DISCOUNT, LEGAL_ACTIONS, ACTION_REPEAT, EPISODE_RESULT)

"""Users as people call them."""

import pwd


def user_name(number: int) -> str:
    """A user's name; of one whom this machine does not know, the number."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"

"""Prefect's profiles: `up` makes one that names the house's server active, so that `prefect` finds
it in the user's shell, and `down` puts the former one back.
"""

import os

from flows.commands.common import say
from flows.house.configured import PROFILE, configured_api
from flows.house.state import House, State


def enter_profile(house: House, state: State) -> State:
    """Make the house's profile active, unless the user's own names a server already."""
    from prefect.settings import PREFECT_API_URL, Profile
    from prefect.settings.profiles import load_profiles, save_profiles

    assert state.url is not None
    configured = configured_api()
    if configured is not None:
        say(f"profile   left as it is: {configured.by} names {configured.url}")
        return state
    profiles = load_profiles()
    former = profiles.active_name
    ours = profiles.profiles_by_name.get(PROFILE)
    if former == PROFILE and ours and ours.settings.get(PREFECT_API_URL) == state.url:
        say(f"profile   {PROFILE} is active: `prefect` talks to {state.url}")
        return state
    # The former name is on disk before ours takes its place.
    if former != PROFILE:
        state = house.change(state, former_profile=former)
    settings = {**(ours.settings if ours else {}), PREFECT_API_URL: state.url}
    profiles.profiles_by_name[PROFILE] = Profile(name=PROFILE, settings=settings)
    profiles.set_active(PROFILE)
    save_profiles(profiles)
    if "PREFECT_PROFILE" in os.environ:
        say(f"profile   PREFECT_PROFILE hides {PROFILE}: `unset PREFECT_PROFILE` in your shell")
    say(
        f"profile   {PROFILE} is active in place of {state.former_profile}: `prefect` talks to "
        f"{state.url}; `stillhouse down` puts {state.former_profile} back"
    )
    return state


def leave_profile(house: House, state: State) -> State:
    """Put the former profile back, if the house's is still the active one."""
    from prefect.settings.profiles import load_profiles, save_profiles

    profiles = load_profiles()
    if profiles.active_name == PROFILE:
        former = state.former_profile
        if former not in profiles.names:
            former = "ephemeral"
        profiles.set_active(former)
        profiles.profiles_by_name.pop(PROFILE, None)
        save_profiles(profiles)
        say(f"profile   {former} is active again")
    return house.change(state, former_profile=None)

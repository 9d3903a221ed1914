"""What each permission lets its holder do, in words for people who put a role together."""

from app.domain.identity.permissions import CATALOGUE
from app.domain.identity.roles.schemas import ActionOut, ResourceOut

DESCRIPTIONS: dict[str, str] = {
    "accounts:read": "See the account and the accounts below it.",
    "accounts:create": "Make accounts below this one.",
    "accounts:update": "Rename the account and change its settings.",
    "accounts:delete": "Suspend, restore and delete the account.",
    "sub_accounts:access": "Act in every account below this one, with the same role.",
    "users:read": "See the members and their roles.",
    "users:update": "Give members another role, within one's own permissions.",
    "users:delete": "End memberships.",
    "roles:read": "See the roles and what they allow.",
    "roles:create": "Make roles, within one's own permissions.",
    "roles:update": "Change what a role allows, within one's own permissions.",
    "roles:delete": "Delete roles that nobody has.",
    "invitations:read": "See who has been invited.",
    "invitations:create": "Invite people, within one's own permissions.",
    "invitations:delete": "Withdraw invitations.",
    "api_keys:read": "See the API keys, never their secrets.",
    "api_keys:create": "Make API keys, within one's own permissions.",
    "api_keys:delete": "Delete API keys, which stop working at once.",
    "audit_log:read": "See who did what, and from where.",
    "contacts:read": "See contacts, groups and opt-outs.",
    "contacts:create": "Add and import contacts.",
    "contacts:update": "Change contacts, groups and opt-outs.",
    "contacts:delete": "Delete contacts.",
    "segments:read": "See segments and their members.",
    "segments:create": "Make segments.",
    "segments:update": "Change segments.",
    "segments:delete": "Delete segments.",
    "jobs:read": "See long work such as imports and exports, and download its files.",
    "jobs:cancel": "Cancel long work.",
    "channels:read": "See channels and their health, never their credentials.",
    "channels:create": "Connect channels.",
    "channels:update": "Change, test, pause and resume channels.",
    "channels:delete": "End channels.",
    "smpp_accounts:read": "See the SMPP logins of applications, never their passwords.",
    "smpp_accounts:create": "Make SMPP logins for applications.",
    "smpp_accounts:update": "Change SMPP logins and their passwords.",
    "smpp_accounts:delete": "Delete SMPP logins.",
    "templates:read": "See templates.",
    "templates:create": "Make templates.",
    "templates:update": "Change templates.",
    "templates:delete": "Delete templates.",
    "messages:read": "Read messages and conversations.",
    "messages:send": "Send messages and answer conversations.",
    "messages:cancel": "Cancel messages that have not been handed over.",
    "group_messages:read": "See group messages, their recipients and progress.",
    "group_messages:create": "Draft group messages.",
    "group_messages:update": "Change drafts of group messages.",
    "group_messages:delete": "Delete group messages.",
    "group_messages:send": "Send, pause, resume and cancel group messages.",
    "group_messages:approve": "Approve or reject group messages that others want to send.",
    "scheduled_messages:read": "See scheduled messages and when they run.",
    "scheduled_messages:create": "Schedule messages.",
    "scheduled_messages:update": "Change, pause, resume and run scheduled messages.",
    "scheduled_messages:delete": "Delete scheduled messages.",
    "webhooks:read": "See webhooks and their deliveries, never their secrets.",
    "webhooks:create": "Make webhooks.",
    "webhooks:update": "Change and test webhooks, rotate secrets, deliver again.",
    "webhooks:delete": "Delete webhooks.",
    "events:read": "Follow what happens, as a feed.",
    "analytics:read": "See counts, rates and usage.",
}
"""Permission (`resource:action`) → what it allows; a test holds it to the catalogue."""


def catalogue() -> list[ResourceOut]:
    """Every resource with its actions, in the order of the catalogue."""
    return [
        ResourceOut(
            resource,
            [ActionOut(action, f"{resource}:{action}", DESCRIPTIONS[f"{resource}:{action}"]) for action in actions],
        )
        for resource, actions in CATALOGUE.items()
    ]

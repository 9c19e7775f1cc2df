"""The automation that sends a message when a run fails, by a notification block of the team's server."""

from importlib.resources import files
from typing import Any
from uuid import UUID

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound

from vadprobe.store.errors import VadprobeError


def shipped_notification(block: UUID) -> dict[str, Any]:
    """Return the content of the shipped automation, which sends by a block of this id."""
    text = files("vadprobe.flows.deployments").joinpath("notification.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    for action in content["actions"]:
        action["block_document_id"] = str(block)
    return content


def block_id(name: str) -> UUID:
    """Return the id of a notification block of the server.

    Args:
        name: as Prefect writes it, `slack-webhook/team`.

    Raises:
        VadprobeError: if there is no such block, or it sends no messages.
    """
    kind, slash, own = name.partition("/")
    if not (kind and slash and own) or "/" in own:
        raise VadprobeError(f"--notify must be TYPE/NAME of a block, such as slack-webhook/team, got {name!r}.")
    with get_client(sync_client=True) as client:
        try:
            block = client.read_block_document_by_name(own, kind)
        except ObjectNotFound as error:
            raise VadprobeError(
                f"the server has no block {name!r}{_known(client)}. Make one on the page Blocks of the server, or in "
                "Python: from prefect.blocks.notifications import SlackWebhook; "
                "SlackWebhook(url='https://...').save('team')"
            ) from error
        if block.block_schema is None or "notify" not in block.block_schema.capabilities:
            raise VadprobeError(
                f"the block {name!r} must be one that sends messages, such as slack-webhook, and is not."
            )
        return block.id


def add_notification(block: UUID) -> str:
    """Make the automation, or let the one that is there send by this block too; return its name."""
    content = shipped_notification(block)
    with get_client(sync_client=True) as client:
        existing = client.read_automations_by_name(content["name"])
        if not existing:
            client.create_automation(AutomationCore.model_validate(content))
        for one in existing:
            if block in {getattr(action, "block_document_id", None) for action in one.actions}:
                continue
            actions = [*one.actions, *AutomationCore.model_validate(content).actions]
            kept = {"name", "description", "enabled", "tags", "trigger", "actions_on_trigger", "actions_on_resolve"}
            client.update_automation(one.id, AutomationCore(**one.model_dump(include=kept), actions=actions))
    return str(content["name"])


def _known(client: SyncPrefectClient) -> str:
    """List the blocks that send messages, for a sentence about one that is not there."""
    found = [
        f"{block.block_type.slug}/{block.name}"
        for block in client.read_block_documents()
        if block.block_type and block.block_schema and "notify" in block.block_schema.capabilities
    ]
    return f"; those that send messages are {', '.join(sorted(found))}" if found else ""

"""What `check` and the start say of an outbox in clear that a key is set for, before anything runs."""

from gateway.core.errors import GatewayError
from gateway.core.plural import counted
from gateway.outbox.config import OutboxConfig
from gateway.outbox.database.inspect import inspection


def plain_text(config: OutboxConfig) -> str:
    """Return what is to be done about an outbox that was never sealed, as a sentence that begins with a key; else "".

    Reads the file. A file that cannot be read is none of this function's business.
    """
    if not config.key_file:
        return ""
    if config.accept_plain:
        return (
            "outbox.accept_plain: whoever can write the outbox's file can remove its seal and forge messages; take the line "
            "out once the gateway has started with it"
        )
    try:
        with inspection(config.path) as found:
            waiting = sum(count for count, _ in found.totals().values())
            is_plain = not found.encrypted
    except GatewayError:
        return ""
    if not (is_plain and waiting):
        return ""
    return (
        f"outbox.key_file: {config.path} holds {counted(waiting, 'message')} in clear, which the gateway sets aside and "
        "declares lost; if they are from before key_file was set, set outbox.accept_plain: true for one start"
    )

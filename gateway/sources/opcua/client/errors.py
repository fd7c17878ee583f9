"""Exceptions of asyncua and of the system, translated to errors of the port."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from asyncua.ua.uaerrors import UaStatusCodeError

from gateway.core.errors import NotConnected
from gateway.core.os_errors import os_reason
from gateway.sources.opcua.codec.errors import TooLarge, WireError
from gateway.sources.opcua.port.errors import HungUp, ServiceFault, Unanswered
from gateway.sources.opcua.status.codes import BAD_DECODING, GONE, RESPONSE_TOO_LARGE, status_name

log = structlog.get_logger("opcua")


@contextmanager
def translate_errors(what: str) -> Iterator[None]:
    """Translate exceptions of asyncua and of the system to NotConnected, or to ServiceFault while the session lives.

    An answer that is complete and cannot be decoded is a ServiceFault, too, because the next one, or half of it, may be
    decodable. what: the beginning of the error's text.
    """
    try:
        yield
    except (NotConnected, ServiceFault):
        raise
    except TooLarge as error:
        raise ServiceFault(RESPONSE_TOO_LARGE) from error
    except WireError as error:
        raise ServiceFault(BAD_DECODING) from error
    except TimeoutError:
        raise Unanswered(f"{what}: no answer in time") from None
    except OSError as error:
        raise HungUp(f"{what}: {_reason(error)}") from error
    except UaStatusCodeError as error:
        if error.code in GONE:
            raise NotConnected(f"{what}: {status_name(error.code)}") from error
        raise ServiceFault(error.code) from error
    # Broad, because on bytes that are not as defined asyncua raises nearly anything, failed assertions too, and whatever it
    # is, the session is of no more use. Its words are those of a program, so they are for the log only.
    except Exception as error:
        log.debug("an answer made no sense", what=what, exc_info=error)
        raise NotConnected(f"{what}: the server's answer made no sense") from error


def _reason(error: OSError) -> str:
    match error:
        case ConnectionRefusedError():
            return "the connection is refused: is the server running, and is the port right?"
        case ConnectionResetError():
            return "the server hung up: is this the port of OPC UA?"
    return os_reason(error)

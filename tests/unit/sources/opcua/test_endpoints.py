"""Choice of endpoint and login: the strongest, never less than was asked for, and advice."""

import pytest

from gateway.sources.opcua.security.endpoints import Endpoint, NoUsableEndpoint, Token, choose, choose_token

BOTH = "SignAndEncrypt"


def offer(policy: str, mode: str = BOTH, *tokens: Token) -> Endpoint:
    return Endpoint("opc.tcp://plc:4840", policy, mode, b"", "urn:plc", tokens)


ALL = [
    offer("None", "None"),
    offer("Basic128Rsa15"),
    offer("Basic256Sha256"),
    offer("Aes256_Sha256_RsaPss", "Sign"),
    offer("Aes256_Sha256_RsaPss"),
    offer("Aes128_Sha256_RsaOaep"),
]


@pytest.mark.parametrize(
    ("security", "mode", "chosen"),
    [
        ("auto", BOTH, ("Aes256_Sha256_RsaPss", BOTH)),
        ("auto", "Sign", ("Aes256_Sha256_RsaPss", "Sign")),
        ("Basic256Sha256", BOTH, ("Basic256Sha256", BOTH)),
        ("Basic128Rsa15", BOTH, ("Basic128Rsa15", BOTH)),
        ("none", BOTH, ("None", "None")),
    ],
)
def test_the_strongest_allowed_endpoint_is_chosen(security, mode, chosen):
    for offers in (ALL, ALL[::-1]):
        found = choose(offers, security, mode)
        assert (found.policy, found.mode) == chosen


@pytest.mark.parametrize(
    ("offers", "security", "word"),
    [
        ([offer("None", "None")], "auto", "security: none accepts"),
        ([offer("Basic256")], "auto", "security: Basic256 accepts"),
        ([offer("Basic256Sha256", "Sign")], "auto", "security_mode: Sign accepts"),
        ([offer("Basic256Sha256")], "Aes256_Sha256_RsaPss", "security: auto takes"),
        ([offer("Basic256Sha256")], "none", "security: auto takes"),
        ([offer("ECC_nistP256")], "auto", "offers ECC_nistP256/SignAndEncrypt"),
        ([], "auto", "offers nothing"),
    ],
)
def test_nothing_weaker_is_taken_and_the_way_out_is_told(offers, security, word):
    with pytest.raises(NoUsableEndpoint, match=word):
        choose(offers, security, BOTH)


def test_the_strongest_encryption_of_a_password_is_chosen():
    tokens = [Token("username", p, p) for p in ("None", "Basic128Rsa15", "Basic256Sha256", "Aes256_Sha256_RsaPss")]
    assert choose_token(offer("None", "None", *tokens), "username", "none", plain=True).id == "Aes256_Sha256_RsaPss"


def test_a_token_without_policy_takes_the_endpoints():
    token = choose_token(offer("Basic256Sha256", BOTH, Token("username", "", "u")), "username", "auto", plain=False)
    assert token.policy == "Basic256Sha256"


@pytest.mark.parametrize(
    ("where", "kind", "word"),
    [
        (offer("None", "None", Token("username", "None", "u")), "username", "plain_password"),
        (offer("Basic256Sha256", "Sign", Token("username", "None", "u")), "username", "plain_password"),
        (offer("Basic256Sha256", BOTH, Token("username", "Basic128Rsa15", "u")), "username", "Basic128Rsa15 only"),
        (offer("Basic256Sha256", BOTH, Token("username", "", "u")), "anonymous", "it offers: username"),
        (offer("None", "None", Token("certificate", "None", "c")), "certificate", "None only"),
        (offer("None", "None", Token("certificate", "Basic256", "c")), "certificate", "Basic256 only; security: auto with"),
        (offer("None", "None", Token("username", "Basic128Rsa15", "u")), "username", "or accept it with plain_password"),
    ],
)
def test_a_secret_is_not_given_away(where, kind, word):
    with pytest.raises(NoUsableEndpoint, match=word):
        choose_token(where, kind, "auto", plain=False)


def test_a_plain_password_may_travel_in_an_encrypted_channel_or_on_demand():
    token = Token("username", "None", "u")
    assert choose_token(offer("Basic256Sha256", BOTH, token), "username", "auto", plain=False).id == "u"
    assert choose_token(offer("None", "None", token), "username", "none", plain=True).id == "u"


@pytest.mark.parametrize("channel", ["Aes256_Sha256_RsaPss", "None"])
def test_a_password_may_be_encrypted_as_basic256_does_which_is_how_basic256sha256_does(channel):
    offered = offer(channel, BOTH if channel != "None" else "None", Token("username", "Basic256", "u"))
    assert choose_token(offered, "username", "auto", plain=False).policy == "Basic256"
    both = offer(channel, offered.mode, Token("username", "Basic256", "u"), Token("username", "Basic256Sha256", "v"))
    assert choose_token(both, "username", "auto", plain=False).id == "v", "the stronger one first"


def test_a_signature_of_basic256_is_shown_in_an_encrypted_channel_only():
    token = Token("certificate", "Basic256", "c")
    assert choose_token(offer("Aes256_Sha256_RsaPss", BOTH, token), "certificate", "auto", plain=False).id == "c"
    with pytest.raises(NoUsableEndpoint, match="Basic256 only"):
        choose_token(offer("Aes256_Sha256_RsaPss", "Sign", token), "certificate", "auto", plain=True)


def test_a_weakly_encrypted_password_may_be_sent_by_who_would_send_it_plain():
    token = Token("username", "Basic128Rsa15", "u")
    assert choose_token(offer("None", "None", token), "username", "none", plain=True).id == "u"

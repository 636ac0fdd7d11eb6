"""A join token survives copying whole or is refused before anybody is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.auth import Authority, is_user_key, new_user_key, public_credentials, user_key
from bus.errors import CredentialsError
from bus.subjects import Peer
from bus.tokens import Anchor, JoinToken, TokenKind, digest, new_token, parse_token

ANCHOR = Anchor(b"r" * 32, b"s" * 64, b"a" * 32, b"p" * 64)
ALPHABET = st.characters(codec="utf-8")


@given(st.binary(min_size=32, max_size=32), st.sampled_from(TokenKind))
def test_a_token_is_read_as_it_was_written(secret: bytes, kind: TokenKind) -> None:
    token = JoinToken(kind, "abcd2345", secret, ANCHOR)
    assert parse_token(token.text) == token
    assert parse_token(f" {token.text}\n") == token


@given(st.data())
def test_any_changed_character_is_noticed(data: st.DataObject) -> None:
    text = JoinToken(TokenKind.NODE, "abcd2345", b"x" * 32, ANCHOR).text
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(ALPHABET.filter(lambda character: character != text[place]))
    with pytest.raises(CredentialsError) as refused:
        parse_token(text[:place] + other + text[place + 1 :])
    assert refused.value.code == "E_TOKEN_FORMAT"


@pytest.mark.parametrize(
    "text", ["", "crl_", "crl_node_abcd2345__00000000", "hello", "x" * 100_000, "\0", "crl_root_a_b_c"]
)
def test_other_texts_are_no_tokens_and_are_not_repeated(text: str) -> None:
    with pytest.raises(CredentialsError) as refused:
        parse_token(text)
    assert refused.value.code == "E_TOKEN_FORMAT"
    assert len(text) < 10 or text not in str(refused.value)


def test_a_token_shows_no_secret_of_itself() -> None:
    token = new_token(TokenKind.USER, ANCHOR)
    assert token.text not in repr(token)
    assert token.secret != new_token(TokenKind.USER, ANCHOR).secret
    assert len(digest(token.secret)) == 32


def test_a_token_brings_the_clusters_certificate_and_public_credential(tmp_path: Path) -> None:
    authority = Authority.create_or_load(tmp_path / "keys")
    read = parse_token(new_token(TokenKind.NODE, authority.anchor()).text)
    public = public_credentials(read.anchor)
    assert public.ca == authority.ca
    assert public.peer is Peer.PUBLIC
    assert public.seed == b""
    assert public.expires_at is None


def test_an_anchor_of_no_cluster_is_refused() -> None:
    with pytest.raises(CredentialsError):
        public_credentials(ANCHOR)


def test_keys_are_made_here_and_told_apart() -> None:
    pair = new_user_key()
    assert user_key(pair.seed) == pair
    assert pair.seed not in repr(pair)
    assert is_user_key(pair.public)
    for other in (pair.seed, pair.public[:-1], "U" + "A" * 55, pair.public.replace("U", "A", 1), "", "é"):
        assert not is_user_key(other)
    with pytest.raises(CredentialsError):
        user_key("SUNONSENSE")

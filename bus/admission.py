"""Coming in with a token: our own key, and the cluster's answer to it."""

from __future__ import annotations

from bus import subjects
from bus.api import Admitted
from bus.auth import UserKey, new_user_key, public_credentials
from bus.codec import Codec, decode_answer, encode
from bus.connection import NatsBus
from bus.credentials import Credentials, credentials_text, parse_credentials, with_ca
from bus.errors import CredentialsError
from bus.requests import Admission
from bus.subjects import AuthVerb
from bus.tokens import JoinToken, TokenKind
from bus.trust import Refused, read_authority

ANSWER_TIMEOUT_S = 10.0

_VERBS = {TokenKind.NODE: AuthVerb.JOIN, TokenKind.USER: AuthVerb.LOGIN}


async def ask_admission(
    url: str,
    token: JoinToken,
    *,
    key: UserKey | None = None,
    name: str | None = None,
    host: str = "",
    ca: str | None = None,
) -> Credentials:
    """Credentials for `key` (else a new one), whose private half stays here.

    The secret is told only to a server that has proved to be the token's cluster, or, where `ca` names
    another authority (as the setting nats.ca does), the one at the address. Raises ApiError where it
    refuses, CredentialsError where the token is of another cluster, Disconnected where none answers.
    """
    key = key or new_user_key()
    public = public_credentials(token.anchor)
    if ca is not None:
        public = with_ca(public, read_authority(ca))
    verb = _VERBS[token.kind]
    try:
        bus = await NatsBus.connect(url, public, name=f"corral {verb}")
    except Refused as error:
        raise CredentialsError(
            "E_TOKEN_REVOKED", f"{url} does not know this token's cluster", "is it the right address?"
        ) from error
    try:
        asked = Admission(token=token.id, secret=token.secret, key=key.public, name=name, host=host)
        answer = await bus.request(subjects.auth(verb), encode(asked, Codec.JSON), timeout_s=ANSWER_TIMEOUT_S)
    finally:
        await bus.close()
    admitted = decode_answer(answer.data, Admitted)
    return parse_credentials(credentials_text(admitted.jwt, key.seed, public.ca))

"""A marked field keeps its true value for the steps, and the definition says where it is."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Generic, TypeVar

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    Secret,
    SecretBytes,
    SecretStr,
    TypeAdapter,
    WithJsonSchema,
    computed_field,
    field_serializer,
    field_validator,
)
from typing_extensions import TypeAliasType, TypedDict

from squidmesh import Workflow, cron, define, manual, preview_graph, secret, step, value
from squidmesh.errors import InvalidOutput, InvalidPayload
from squidmesh.redaction import HIDDEN
from squidmesh.workflow.definition import Definition, FunctionStep
from squidmesh.workflow.mapping import BoundStep
from squidmesh.workflow.payload import accept_payload, validate_payload
from squidmesh.workflow.secret import marks_of
from squidmesh.workflow.signature import read_signature

T = TypeVar("T")


class Card(BaseModel):
    holder: str
    number: SecretStr


class Keys(TypedDict):
    front: Annotated[str, secret]
    back: str


@dataclasses.dataclass
class Locker:
    code: Secret[int]
    floor: int = 0


class Box(BaseModel, Generic[T]):
    inside: T


class Node(BaseModel):
    word: Annotated[str, secret]
    children: list[Node] = []


class SecretDate(Secret[date]):
    def _display(self) -> str:
        return "****/**/**"


class Dumped(BaseModel):
    """The way that pydantic's own documentation tells to dump a secret."""

    token: SecretStr
    born: Secret[int] = Secret[int](7)

    @field_serializer("token", when_used="json")
    def _token(self, token: SecretStr) -> str:
        return token.get_secret_value()

    @field_serializer("born")
    def _born(self, born: Secret[int]) -> int:
        return born.get_secret_value()


class Computed(BaseModel):
    word: str

    @computed_field  # type: ignore[prop-decorator]
    @property
    def mark(self) -> Annotated[str, secret]:
        return self.word * 2


class Aliased(BaseModel):
    token: SecretStr = Field(alias="apiToken")


Pass = TypeAliasType("Pass", Annotated[str, secret])


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (SecretStr, [""]),
        (SecretBytes, [""]),
        (Secret[int], [""]),
        (SecretDate, [""]),
        (Annotated[str, secret], [""]),
        (Annotated[str, secret] | None, [""]),
        (Pass, [""]),
        (Card, ["number"]),
        (Annotated[Card, secret], [""]),
        (list[Card], ["*.number"]),
        (dict[str, Card], ["*.number"]),
        (dict[str, list[Card | None]], ["*.*.number"]),
        (tuple[int, SecretStr], ["*"]),
        (set[SecretStr], ["*"]),
        (dict[Annotated[str, secret], int], [""]),
        (Keys, ["front"]),
        (Locker, ["code"]),
        (Box[Card], ["inside.number"]),
        (Box[Annotated[int, secret]], ["inside"]),
        (Node, ["children.*", "word"]),
        (Dumped, ["born", "token"]),
        (Computed, ["mark"]),
        (Aliased, ["token"]),
        (Card | Keys, ["front", "number"]),
        (Box[Callable[[], int]] | Card, ["number"]),
        (TypedDict("Odd", {"a.b": SecretStr, "c": int}), ["*"]),  # type: ignore[operator]
        (str, []),
        (dict[str, Any], []),
        (Any, []),
    ],
)
def test_the_type_tells_where_its_secrets_are(annotation: Any, expected: list[str]) -> None:
    assert list(marks_of(TypeAdapter(annotation)).paths) == expected


# ------------------------------------------------------------------------------------------------ what is stored


class Everything(BaseModel):
    text: SecretStr
    data: SecretBytes
    number: Secret[int]
    empty: SecretStr
    zero: Secret[int]
    day: SecretDate
    model: Secret[Card]
    marked: Annotated[str, secret]
    cards: dict[str, Card]
    pair: tuple[int, SecretStr]
    words: set[SecretStr]
    maybe: SecretStr | int
    node: Node
    dumped: Dumped
    keys: Keys
    locker: Locker
    plain: str = HIDDEN
    nothing: SecretStr | None = None


GIVEN: dict[str, Any] = {
    "text": "mellon",
    "data": "bytes",
    "number": 4711,
    "empty": "",
    "zero": 0,
    "day": "2941-04-27",
    "model": {"holder": "Bilbo", "number": "1111"},
    "marked": "friend",
    "cards": {"one": {"holder": "Sam", "number": "2222"}},
    "pair": [1, "two"],
    "words": ["speak"],
    "maybe": "either",
    "node": {"word": "root", "children": [{"word": "leaf", "children": []}]},
    "dumped": {"token": "as documented", "born": 1290},
    "keys": {"front": "oak", "back": "pine"},
    "locker": {"code": 5, "floor": 1},
}


def test_the_true_value_of_every_secret_is_stored_and_read_back() -> None:
    accepted = accept_payload(Everything, GIVEN)

    assert accepted.data == {**GIVEN, "plain": HIDDEN, "nothing": None}
    assert accepted.given == GIVEN
    again = Everything.model_validate(accepted.data)
    assert again.text.get_secret_value() == "mellon"
    assert again.model.get_secret_value().number.get_secret_value() == "1111"
    assert validate_payload(Everything, again) == accepted.data, "an instance is stored as a mapping is"


def test_a_set_of_secrets_keeps_all_of_them() -> None:
    words = [f"word {n}" for n in range(20)]
    stored = validate_payload(Everything, {**GIVEN, "words": words})["words"]

    assert sorted(stored) == sorted(words)


def test_two_secrets_are_two_payloads() -> None:
    one, other = (accept_payload(Everything, {**GIVEN, "text": text}).given for text in ("mellon", "melon"))

    assert one != other, "one key starts one of them"


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    it: Any = None
    by_secret: dict[Any, int] = {}


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"it": {"deep": [SecretStr("mellon")]}}, "payload.it.deep.0: "),
        ({"it": Card(holder="Sam", number=SecretStr("mellon"))}, "payload.it.number: "),
        ({"more": SecretStr("mellon")}, "payload.more: "),
        ({"by_secret": {SecretStr("mellon"): 1}}, "payload.by_secret: "),
        ({"it": {SecretStr("mellon")}}, "payload.it.*: "),
    ],
)
def test_a_secret_where_no_type_tells_of_it_is_refused_and_never_stored_as_asterisks(given: Any, place: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        validate_payload(Loose, given)

    assert str(refused.value) == f"{place}is a secret, of which the type of this field does not tell"


class Counted(BaseModel):
    by_name: dict[Any, int]


def test_a_secret_as_a_key_of_a_plain_dict_is_noticed_where_nothing_else_is_odd() -> None:
    with pytest.raises(InvalidPayload, match=r"payload\.by_name: is a secret"):
        validate_payload(Counted, {"by_name": {SecretStr("mellon"): 1}})


class LastFour(BaseModel):
    number: SecretStr

    @field_serializer("number", when_used="json")
    def _number(self, number: SecretStr) -> str:
        return number.get_secret_value()[-4:]


def test_what_a_serializer_of_the_authors_own_makes_of_a_secret_is_what_is_stored() -> None:
    assert validate_payload(LastFour, {"number": "4111-1111-1111-4711"}) == {"number": "4711"}
    assert marks_of(TypeAdapter(LastFour)).paths == ("number",), "and it is as secret"


def test_asterisks_of_the_callers_own_are_a_text_like_any_other() -> None:
    assert validate_payload(Loose, {"it": [HIDDEN, None]})["it"] == [HIDDEN, None]


class Unmarked(BaseModel):
    token: Annotated[SecretStr, WithJsonSchema({"type": "string"})]


def test_a_mark_that_the_author_took_away_is_missed() -> None:
    with pytest.raises(InvalidPayload, match=r"payload\.token: is a secret"):
        validate_payload(Unmarked, {"token": "mellon"})


class Telltale(BaseModel):
    token: SecretStr = Field(validation_alias=AliasChoices("apiToken", "token"))
    word: Annotated[str, secret]

    @field_validator("token")
    @classmethod
    def _token(cls, token: SecretStr) -> SecretStr:
        raise ValueError(f"{token.get_secret_value()} is no token")

    @field_validator("word")
    @classmethod
    def _word(cls, word: str) -> str:
        raise ValueError(f"{word} is no word")


@pytest.mark.parametrize("name", ["token", "apiToken"])
def test_a_refused_payload_does_not_tell_its_secrets(name: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        validate_payload(Telltale, {name: "mellon-42", "word": "friend"})

    assert f"{HIDDEN} is no token" in str(refused.value)
    assert f"{HIDDEN} is no word" in str(refused.value)


def test_a_value_that_contains_itself_many_times_over_is_searched_in_no_time() -> None:
    circle: dict[str, Any] = {"word": 5}
    circle["children"] = [circle, circle]
    wide: list[Any] = []
    for _ in range(60):
        wide = [wide, wide]

    for given in ({"word": "friend", "children": [circle]}, {"word": "friend", "children": wide}):
        with pytest.raises(InvalidPayload):
            validate_payload(Node, given)
    assert marks_of(TypeAdapter(Node)).texts_in({"word": "friend", "children": [circle, wide]}) == {"friend"}


def test_a_model_in_a_dict_of_models_is_known_by_its_fields() -> None:
    assert validate_payload(Everything, GIVEN)["cards"] == GIVEN["cards"]
    wrong = {**GIVEN, "cards": {"one": {"holder": "Sam", "number": "2", "nmber": "3"}}}
    with pytest.raises(InvalidPayload, match=r"payload: cards\.one\.nmber: no such field"):
        validate_payload(Everything, wrong)


# ------------------------------------------------------------------------------------------------ steps


def bound(fn: Callable[..., Any], output: str | None = None) -> BoundStep:
    return BoundStep(FunctionStep(name="step", output=output), fn, read_signature(fn))


def test_a_step_takes_a_secret_as_such_or_as_the_plain_value() -> None:
    def fn(token: SecretStr, number: Secret[int], marked: Annotated[str, secret], text: str) -> None: ...

    given = {"token": "mellon", "number": 3, "marked": "friend", "text": "plain"}
    arguments = bound(fn).arguments(given, None)

    assert arguments["token"].get_secret_value() == "mellon"
    assert arguments["number"].get_secret_value() == 3
    assert (arguments["marked"], arguments["text"]) == ("friend", "plain")


def test_what_a_step_returns_is_stored_true() -> None:
    def fn() -> Card: ...  # type: ignore[empty-body]

    assert bound(fn).result({"holder": "Sam", "number": "4711"}) == {"holder": "Sam", "number": "4711"}


def test_a_secret_in_a_plain_dict_is_refused() -> None:
    def fn() -> dict[str, Any]: ...  # type: ignore[empty-body]

    with pytest.raises(InvalidOutput, match=r"step 'step', output\.token: is a secret"):
        bound(fn).result({"token": SecretStr("mellon")})


def test_a_refused_result_does_not_tell_its_secrets() -> None:
    def fn() -> Telltale: ...  # type: ignore[empty-body]

    for result in ({"token": "mellon-42", "word": "friend"}, {"token": SecretStr("mellon-42"), "word": "friend"}):
        with pytest.raises(InvalidOutput) as refused:
            bound(fn).result(result)
        assert "mellon" not in str(refused.value) and "friend" not in str(refused.value)
        assert f"{HIDDEN} is no token" in str(refused.value)


def test_what_a_parameter_marks_is_secret_whatever_the_context_says() -> None:
    def fn(token: SecretStr, cards: list[Card], text: str) -> None: ...

    picked = {"token": "mellon", "cards": [{"holder": "Sam", "number": "4711"}], "text": "plain"}

    assert bound(fn).secrets_of(picked) == {"mellon", "4711"}


# ------------------------------------------------------------------------------------------------ the definition


class Visit(BaseModel):
    token: Annotated[str, secret] = "default-mellon"
    cards: list[Card] = [Card(holder="Sam", number=SecretStr("default-number"))]
    keys: Keys = {"front": "default-oak", "back": "pine"}
    default: SecretStr = SecretStr("x")
    room: int = Field(default=7, examples=[8])


def issue(token: str) -> Card: ...  # type: ignore[empty-body]


def merge(card: Card) -> Keys: ...  # type: ignore[empty-body]


def any_key() -> dict[str, SecretStr]: ...  # type: ignore[empty-body]


def one() -> SecretStr: ...  # type: ignore[empty-body]


class Lodge(Workflow):
    version = "1"
    visit = manual(Visit)
    issue = step(issue, output="card", input={"token": "cards"})
    merge = step(merge)
    one = step(one, output="word")
    flow = issue >> merge >> one


class Open(Workflow):
    version = "1"
    visit = manual(Visit)
    any_key = step(any_key)


def test_the_definition_keeps_the_paths_for_whoever_has_no_class() -> None:
    definition = Definition.from_json(define(Lodge).canonical())

    assert definition.payload_secrets("visit") == ("cards.*.number", "default", "keys.front", "token")
    secrets = {spec.name: spec.secrets for spec in definition.steps if isinstance(spec, FunctionStep)}
    assert secrets == {"issue": ("card.number",), "merge": ("front",), "one": ("word",)}
    assert definition.output_secrets == ("card.number", "front", "word")
    assert define(Open).output_secrets == ("*",), "of a merged output with any key, all may be secret"


def test_a_definition_of_before_there_were_secrets_can_be_read() -> None:
    spec = json.loads(define(Lodge).canonical())
    for part in (*spec["triggers"], *spec["steps"]):
        part.pop("secrets", None)

    assert Definition.from_json(json.dumps(spec).encode()).secrets == ()


def test_no_default_of_a_secret_is_in_the_definition() -> None:
    body = define(Lodge).canonical().decode()

    assert "default-" not in body
    (trigger,) = define(Lodge).triggers
    properties = trigger.payload_schema["properties"]
    assert properties["room"] == {"default": 7, "examples": [8], "title": "Room", "type": "integer"}
    assert properties["default"]["writeOnly"] is True, "a field of that name stays"


def undo(card: Card) -> Card: ...  # type: ignore[empty-body]


class Undone(Workflow):
    version = "1"
    visit = manual(Visit)
    nightly = cron("0 1 * * *", timezone="Etc/UTC", payload=Visit)
    issue = step(issue, output="card", compensate=undo)
    last = step(lambda: None)
    flow = issue >> last


def test_a_compensation_and_a_cron_trigger_have_secrets_like_any_other() -> None:
    definition = Definition.from_json(define(Undone).canonical())

    undoes = definition.steps_by_name["issue!undo"]
    assert isinstance(undoes, FunctionStep) and undoes.secrets == ("result.number",)
    assert definition.payload_secrets("nightly") == definition.payload_secrets("visit") != ()


class Compared(Workflow):
    version = "1"
    visit = manual(Visit)
    a = step(lambda: None)
    b = step(lambda: None)
    flow = (a.to(b, when=value("token") == "friend"), a.to(b, when=value("room") == 7))


def test_what_a_secret_is_compared_with_is_not_drawn() -> None:
    conditions = [edge.condition for edge in preview_graph(define(Compared)).edges if edge.condition]

    assert conditions == [f"token == {HIDDEN}", "room == 7"]

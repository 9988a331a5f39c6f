"""Approvals, pilots on duty, weather and parameters are graded; what lacks is told, what is overridden is named."""

import json
import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flight.errors import FlightError
from flight.papers import Approval, Papers, Pilot, Weather, check_papers, read_weather
from flight.policy import DEFAULT_PARAMETERS, STRICT, Check, ParameterRule, Policy, read_policy
from flight.preflight import Override, blocking

NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)  # 09:00 in China
DUTY = (NOW - timedelta(hours=1), NOW + timedelta(hours=3))
APPROVAL = Approval("SD-2026-117", NOW - timedelta(minutes=5), NOW + timedelta(hours=2))
LI = Pilot("李工", "small", date(2027, 2, 15), (DUTY,))
FINE = Weather(observed_utc=NOW, wind_mps=4.0, gust_mps=6.0, rain_mm_h=0.0, visibility_m=8000.0)
PAPERS = Papers((APPROVAL,), (LI,), "李工", FINE, "small")
POLICY = read_policy(STRICT)


def grades(papers=PAPERS, policy=POLICY, pilot="", now=NOW, duration_s=900.0):
    checks = check_papers(papers, policy, pilot, int(now.timestamp() * 1e6), duration_s)
    return {check.name: check for check in checks}


def test_good_papers_pass_under_the_strict_policy():
    found = grades()
    assert {check.grade for check in found.values()} == {"pass"}
    assert "SD-2026-117" in found["approval"].detail
    assert "李工" in found["pilot"].detail


@pytest.mark.parametrize(
    ("papers", "name", "words"),
    [
        (replace(PAPERS, approvals=None), "approval", "no approvals given"),
        (replace(PAPERS, approvals=()), "approval", "there is none"),
        (replace(PAPERS, pilots=None), "pilot", "no roster"),
        (replace(PAPERS, pilot=""), "pilot", "who flies"),
        (replace(PAPERS, pilot="王工"), "pilot", "王工 is no pilot"),
        (replace(PAPERS, pilots=(replace(LI, licence="light"),)), "pilot", "does not cover class small"),
        (replace(PAPERS, pilots=(replace(LI, licence=""),)), "pilot", "licence none"),
        (replace(PAPERS, pilots=(replace(LI, valid_until=date(2026, 11, 21)),)), "pilot", "ran out on 2026-11-21"),
        (replace(PAPERS, pilots=(replace(LI, shifts=()),)), "pilot", "not on duty"),
        (replace(PAPERS, weather=None), "weather", "nobody reported"),
        (replace(PAPERS, weather=FINE.model_copy(update={"gust_mps": 14.0})), "weather", "gusts 14 m/s (limit 12"),
        (replace(PAPERS, weather=FINE.model_copy(update={"visibility_m": 300.0})), "weather", "visibility 300 m"),
        (replace(PAPERS, weather=FINE.model_copy(update={"observed_utc": NOW - timedelta(hours=3)})), "weather",
         "180 min ago"),
    ],
)  # fmt: skip
def test_what_lacks_or_does_not_fit_fails_and_says_why(papers, name, words):
    check = grades(papers)[name]
    assert check.grade == "fail"
    assert words in check.detail


def test_an_approval_must_hold_until_the_landing():
    late = APPROVAL.end_utc - timedelta(seconds=600)
    assert grades(now=late, duration_s=599.0)["approval"].grade == "pass"
    check = grades(now=late, duration_s=601.0)["approval"]
    assert check.grade == "fail"
    assert "SD-2026-117 holds" in check.detail
    assert grades(now=datetime(1970, 1, 1, 0, 1, tzinfo=UTC))["approval"].grade == "fail"


def test_without_a_policy_nothing_is_demanded_but_given_papers_are_judged():
    assert {c.grade for c in grades(Papers(), Policy()).values()} == {"pass"}
    assert grades(replace(PAPERS, approvals=()), Policy())["approval"].grade == "fail"
    assert grades(Papers(), replace(POLICY, approval="wanted"))["approval"].grade == "warn"


def test_the_plans_pilot_goes_before_the_one_named():
    assert "王工" in grades(pilot="王工")["pilot"].detail


@given(st.floats(0, 30), st.floats(0, 30))
def test_weather_is_judged_by_its_limit_and_unknown_is_not_judged(wind, gust):
    weather = Weather(observed_utc=NOW, wind_mps=wind, gust_mps=gust)
    fails = wind > POLICY.max_wind_mps or gust > POLICY.max_gust_mps
    assert (grades(replace(PAPERS, weather=weather))["weather"].grade == "fail") == fails


def test_parameters_are_judged():
    rule = ParameterRule("FS_THR_ENABLE", one_of=(1.0, 3.0))
    assert [rule.judge(value).grade for value in (1.0, 3.0, 2.0, None)] == ["pass", "pass", "fail", "fail"]
    between = ParameterRule("RTL_ALT_M", least=30, most=120, grade="warn")
    assert [between.judge(value).grade for value in (30.0, 120.0, 15.0, 121.0)] == ["pass", "pass", "warn", "warn"]
    assert "at least 30 and at most 120" in between.judge(15.0).detail
    assert all(rule.grade == "warn" for rule in DEFAULT_PARAMETERS)


def test_overrides_name_a_person_and_a_reason_and_never_what_is_final():
    failed = [
        Check("battery", "fail", "20 %"),
        Check("parameter FS_THR_ENABLE", "fail", "0"),
        Check("link", "fail", ""),
    ]
    override = Override("wang", "one short hop", frozenset({"battery", "parameter"}))
    assert [check.name for check in blocking(failed, (override,))] == ["link"]
    for person, reason, checks in (("", "why", {"battery"}), ("wang", " ", {"battery"}), ("wang", "why", {"link"})):
        with pytest.raises(FlightError, match=r"name and a reason|cannot be overridden"):
            Override(person, reason, frozenset(checks))


def test_the_strict_policy_is_strict_and_a_base_is_kept():
    policy = read_policy(STRICT, Policy(battery_wh=118.0, cruise_mps=11.0))
    assert (policy.battery_wh, policy.cruise_mps, policy.approval) == (118.0, 11.0, "required")
    assert {rule.name for rule in policy.parameters} >= {"FS_THR_ENABLE", "FS_GCS_ENABLE", "RTL_ALT_M"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[limits\n", "no TOML"),
        ("[limit]\n", r"\[limit\]"),
        ("limits = 3\n", "expected a table"),
        ("[limits]\nmax_wind = 3\n", "max_wind: expected one of"),
        ("[limits]\nmax_wind_mps = 'a'\n", "expected a number"),
        ("[papers]\npilot = 'maybe'\n", "pilot = 'maybe'"),
        ("[parameters]\nFS_X = { atleast = 1 }\n", "FS_X"),
        ("[parameters]\nFS_X = { at_least = 'a' }\n", "expected numbers"),
        ("[parameters]\nFS_X = { equals = 1, grade = 'bad' }\n", "grade"),
    ],
)
def test_a_wrong_policy_is_named(tmp_path, text, words):
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(FlightError, match=words):
        read_policy(tmp_path / "p.toml")
    with pytest.raises(FlightError, match="no policy at"):
        read_policy(tmp_path / "none.toml")


def test_weather_is_read_and_what_is_wrong_in_it_is_named(tmp_path):
    path = tmp_path / "w.json"
    path.write_text(json.dumps({"observed_utc": "2026-11-22T09:00:00+08:00", "wind_mps": 3}))
    weather = read_weather(path)
    assert weather.observed_utc == NOW
    assert math.isnan(weather.gust_mps)
    for text, words in (("{}", "observed_utc"), ('{"observed_utc": "2026-11-22T09:00:00"}', "observed_utc"),
                        ('{"observed_utc": "2026-11-22T09:00:00Z", "wind": 3}', "wind"), ("x", "content")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(FlightError, match=words):
            read_weather(path)
    with pytest.raises(FlightError, match="no weather report"):
        read_weather(tmp_path / "none.json")

"""A dock on Debian's mosquitto: what it says is seen, what is garbage is counted, and nothing is answered."""

import contextlib
import math
import shutil
import socket
import subprocess
import time

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from flight.dock import DockListener
from flight.errors import LinkError
from simulators.dock import DockTask, SimulatedDock
from simulators.errors import SimulatorError
from tests.flight.test_link import free_port

DOCK, DRONE = "7CTDM0000001", "1581F6Q8D0000001"
BROKER = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    if BROKER is None:
        pytest.skip("no mosquitto on this machine: apt-get install mosquitto")
    port = free_port()
    config = tmp_path_factory.mktemp("broker") / "m.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen([BROKER, "-c", str(config)], stderr=subprocess.DEVNULL)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            break
        except OSError:
            time.sleep(0.05)
    yield port
    process.terminate()
    process.wait()


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)


def test_a_flight_task_is_followed_to_its_break_point(broker):
    changes, url = [], f"mqtt://127.0.0.1:{broker}"
    way = ((118.35, 35.05), (118.352, 35.05), (118.352, 35.052))
    task = DockTask(way, speed_mps=40.0, breaks_at=0.75, break_reason=773)
    with DockListener(url, changes.append) as listener, SimulatedDock(url, DOCK, DRONE) as dock:
        dock.fly(task, speedup=50.0)
        until(lambda: (t := listener.devices.get(DOCK)) and t.task and t.task.break_point)
        until(lambda: DRONE in listener.devices and listener.devices[DRONE].properties.get("mode_code") == 0)
        devices = listener.devices
    seen, flown = devices[DRONE].sighting(), devices[DOCK].task
    assert devices[DOCK].online == (DRONE,)
    assert devices[DRONE].properties["firmware_version"]
    total_m = sum(task.legs_m())
    lon, lat, heading, index, leg = task.place(0.75 * total_m)
    assert (seen.lon, seen.lat) == pytest.approx((lon, lat))
    assert (seen.mode, seen.heading_deg) == ("待机", pytest.approx(heading % 360))
    assert 0 < seen.battery <= 1 and seen.age_s < 60
    assert (flown.flight_id, flown.status, flown.waypoint) == ("F1", "failed", index)
    assert flown.progress == pytest.approx(0.75, abs=0.01)
    assert flown.media == int(0.75 * total_m / task.photos_m)
    assert flown.break_point.index == index == 1
    assert flown.break_point.progress == pytest.approx(leg)
    assert flown.break_point.reason_text == "低电量返航"
    modes = [c.sighting().mode for c in changes if c.sn == DRONE and "mode_code" in c.properties]
    assert modes.count("航线飞行") >= 5
    assert modes[-3:] == ["自动返航", "自动降落", "待机"]


def test_a_task_that_is_flown_out_has_no_break_point(broker):
    url = f"mqtt://127.0.0.1:{broker}"
    with DockListener(url) as listener, SimulatedDock(url, "DOCK2", "DRONE2") as dock:
        dock.fly(DockTask(((118.35, 35.05), (118.351, 35.05)), speed_mps=60.0), speedup=50.0)
        until(lambda: (t := listener.devices.get("DOCK2")) and t.task and t.task.status == "ok")
        task = listener.devices["DOCK2"].task
    assert (task.progress, task.break_point) == (1.0, None)


@pytest.mark.parametrize("way", [(), ((118.35, 35.05),), ((118.35, 35.05), (118.35, 35.05))])
def test_a_task_that_goes_nowhere_is_told(broker, way):
    with SimulatedDock(f"mqtt://127.0.0.1:{broker}") as dock, pytest.raises(SimulatorError, match="two waypoints"):
        dock.fly(DockTask(way))


def raw(dock, topic, body):
    dock._client.publish(topic, body, qos=1).wait_for_publish(5)


def test_garbage_is_counted_and_nothing_is_ever_published(broker):
    said = []

    def known(name):
        return DRONE in listener.devices and name in listener.devices[DRONE].properties

    ear = mqtt.Client(CallbackAPIVersion.VERSION2)
    ear.on_message = lambda c, d, m: said.append(m.topic)
    ear.connect("127.0.0.1", broker)
    ear.subscribe("#")
    ear.loop_start()
    with DockListener(f"mqtt://127.0.0.1:{broker}") as listener, contextlib.ExitStack() as stack:
        dock = stack.enter_context(SimulatedDock(f"mqtt://127.0.0.1:{broker}", DOCK, DRONE))
        for body in (b"\xff\xfe", b"[]", b'{"data": 5}', b"{", b'"x"', b'{"timestamp": 1}'):
            raw(dock, f"thing/product/{DRONE}/osd", body)
        dock.say(f"thing/product/{DRONE}/events", {"output": "odd"}, "flighttask_progress")
        dock.say(f"thing/product/{DRONE}/osd", {"battery": "full", "longitude": None, "mode_code": "5"})
        until(lambda: listener.bad_messages == 6 and known("battery"))
        seen = listener.devices[DRONE].sighting()
    ear.loop_stop()
    assert math.isnan(seen.battery)
    assert math.isnan(seen.lon)
    assert listener.devices[DRONE].task is None
    assert {topic.rsplit("/", 1)[1] for topic in said} <= {"osd", "events", "status"}


def test_no_broker_and_no_url_are_told():
    with pytest.raises(LinkError, match="no broker at"), DockListener(f"mqtt://127.0.0.1:{free_port()}"):
        pass
    with pytest.raises(LinkError, match="expected mqtt://") as caught:
        DockListener("http://user:secret@host")
    assert "secret" not in str(caught.value)

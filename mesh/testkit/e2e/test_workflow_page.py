"""The workflow engine's page in a real browser: by keyboard, as it changes, without script, and what a screen reader is told."""

import json
import os
import pathlib
import urllib.request

import pytest

import browser as chromium
from eventually import eventually
from processes import Process, free_port
from security import BINARIES

pytestmark = pytest.mark.clear("the page is the same; signing in is tested with the engine")

# A folder for pictures of every page, for people to look at.
SHOTS = os.environ.get("SWITCHBOARD_PAGE_SHOTS")


class Engine(Process):
    """The engine alone: nothing that its page shows needs a mesh."""

    def __init__(self, folder, token=None, **env):
        self.port, self.token = free_port(), token
        argv = [BINARIES / "workflow-worker", "--data", folder / "data", "--router", "127.0.0.1:1", "--listen", "127.0.0.1:0"]
        argv += ["--grpc", "off", "--metrics", "off", "--http", f"127.0.0.1:{self.port}"]
        super().__init__(folder, "workflow-worker", argv, **env)

    def url(self, path=""):
        return f"http://127.0.0.1:{self.port}{path}"

    def request(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json", **({"authorization": f"Bearer {self.token}"} if self.token else {})}
        request = urllib.request.Request(self.url(path), data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def submit(self, name, tasks, **more):
        return self.request("POST", "/api/v1/workflows", {"name": name, "tasks": tasks, "async": True, **more})["workflow_id"]

    def status(self, workflow_id):
        return self.request("GET", f"/api/v1/workflows/{workflow_id}")["status"].removeprefix("WORKFLOW_STATUS_")


def serving(engine):
    """The engine while it serves; what it said if a test fails."""
    engine.start()
    try:
        eventually(30, lambda: engine.request("GET", "/ready"))
        yield engine
    except BaseException:
        print(engine.tail())
        raise
    finally:
        engine.kill()


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    yield from serving(Engine(tmp_path_factory.mktemp("page")))


@pytest.fixture(scope="module")
def browser():
    binary = chromium.find()
    if binary == "none":
        pytest.skip("no browser is wanted: CHROMIUM_BIN=none")
    if binary is None:
        pytest.fail("no Chromium on this machine: run `make tools`, name one by CHROMIUM_BIN=<path>, or leave these tests "
                    "out by CHROMIUM_BIN=none")
    browser = chromium.Browser(binary)
    yield browser
    browser.close()


def two_gates(engine, name="order-1042"):
    """Waits for the signal `go`, then for `never`."""
    tasks = [{"id": "approve", "name": "Approval", "type": "wait_signal", "target": "go"},
             {"id": "reserve", "dependencies": ["approve"]},
             {"id": "ship", "dependencies": ["reserve"], "type": "wait_signal", "target": "never"},
             {"id": "mail", "dependencies": ["reserve", "ship"]}]
    return engine.submit(name, tasks, attributes={"team": "blue"})


def is_clean(page, engine):
    """Nothing complained, and nothing was asked of anybody else."""
    assert page.errors == []
    assert page.origins() == {("http", f"127.0.0.1:{engine.port}")}


def state(page):
    return page.run("document.getElementById('state').textContent")


def test_from_the_list_to_its_end_by_keyboard_alone(engine, browser):
    workflow_id = two_gates(engine)
    page = browser.page()
    page.goto(engine.url("/ui"))
    page.press("Tab")
    assert page.run("document.activeElement.textContent") == "Skip to the content"
    assert page.tab_to(f"a[href='/ui/workflows/{workflow_id}']") == "order-1042"
    page.press("Enter")
    page.eventually(f"location.pathname === '/ui/workflows/{workflow_id}' && !document.getElementById('live').hidden")
    page.eventually("document.readyState === 'complete'")
    assert state(page) == "Running"

    # It changes by itself, and leaves alone what somebody is doing.
    page.run("window.still = true")
    assert page.tab_to("#cancel-form summary") == "Cancel…"
    page.press("Enter")
    page.tab_to("#cancel-reason")
    page.type("ordered twice")
    page.run("document.querySelector('.drawing').scrollLeft = 40")
    assert page.run("document.getElementById('box-approve').getAttribute('aria-label')") == "Approval: Waiting"
    engine.request("POST", f"/api/v1/workflows/{workflow_id}/signals", {"name": "go"})
    page.eventually("document.getElementById('box-approve').getAttribute('aria-label') === 'Approval: Completed'", 10)
    page.eventually("document.getElementById('task-ship').textContent.includes('Waiting')", 10)
    assert page.run("window.still && document.activeElement.id") == "cancel-reason"
    assert page.run("document.activeElement.value") == "ordered twice"
    assert page.run("document.querySelector('#cancel-form').open")

    page.press("Escape")
    assert page.run("!document.querySelector('#cancel-form').open && document.activeElement.tagName") == "SUMMARY"
    page.press("Enter")
    page.tab_to("#cancel-form input[name=force]")
    page.press("ArrowDown")
    assert page.tab_to("#cancel-form button") == "Cancel workflow"
    page.press("Enter")
    page.eventually("(document.getElementById('done') || {}).textContent === 'Cancelled at once.'")
    assert state(page) == "Cancelled" and engine.status(workflow_id) == "CANCELLED"
    assert page.run("document.activeElement.id") == "done"

    page.goto(engine.url(f"/ui/workflows/{workflow_id}/history"))
    assert "ordered twice" in page.run("document.body.textContent")
    is_clean(page, engine)


def test_the_list_shows_what_is_new_and_can_be_held(engine, browser):
    page = browser.page()
    page.goto(engine.url("/ui?name=fresh-"))
    page.eventually("document.body.textContent.includes('No workflow matches')")
    first = engine.submit("fresh-1", [{"id": "a"}])
    page.eventually(f"document.getElementById('row-{first}') !== null", 15)
    page.run(f"document.querySelector('#row-{first} a').focus()")
    second = engine.submit("fresh-2", [{"id": "a"}])
    page.eventually(f"document.getElementById('row-{second}') !== null", 15)
    assert page.run("document.activeElement.textContent") == "fresh-1"
    page.tab_to("#live")
    page.press(" ")
    assert page.run("document.getElementById('live').getAttribute('aria-pressed')") == "false"
    is_clean(page, engine)


def test_the_log_is_followed_line_by_line(engine, browser):
    workflow_id = two_gates(engine, "logged")
    page = browser.page()
    page.goto(engine.url(f"/ui/workflows/{workflow_id}/log"))
    before = page.run("document.querySelector('.lines').innerText")
    assert "workflow submitted" in before and "received" not in before
    engine.request("POST", f"/api/v1/workflows/{workflow_id}/signals", {"name": "go"})
    page.eventually("document.querySelector('.lines').textContent.includes('signal go received')", 10)
    page.eventually(f"document.querySelector('.lines a[href=\"/ui/workflows/{workflow_id}/tasks/ship\"]') !== null", 10)
    # The stream began anew with what the server had written already.
    assert page.run("document.querySelector('.lines').textContent.split('workflow submitted').length") == 2
    is_clean(page, engine)


def test_everything_works_without_script(engine, browser):
    workflow_id = two_gates(engine, "plain")
    page = browser.page(script=False)
    page.goto(engine.url("/ui?name=plain"))
    page.tab_to(f"a[href='/ui/workflows/{workflow_id}']")
    page.press("Enter")
    page.eventually(f"location.pathname === '/ui/workflows/{workflow_id}' && document.readyState === 'complete'")
    engine.request("POST", f"/api/v1/workflows/{workflow_id}/signals", {"name": "go"})
    before = page.loads
    assert page.tab_to("#by-hand a") == "Reload"
    page.press("Enter")
    page.loaded(before)
    assert page.run("document.getElementById('box-approve').getAttribute('aria-label')") == "Approval: Completed"
    page.goto(engine.url(f"/ui/workflows/{workflow_id}/tasks/ship"))
    page.tab_to("#signal-form summary")
    page.press("Enter")
    page.tab_to("#payload")
    page.type('{"by": "truck"}')
    before = page.loads
    page.tab_to("#signal-form button")
    page.press("Enter")
    page.loaded(before)
    assert '"by": "truck"' in page.run("document.getElementById('result').textContent")
    assert state(page) == "Completed"
    is_clean(page, engine)


@pytest.fixture
def asking(tmp_path):
    """An engine that wants to know who calls."""
    token = "0123456789abcdef0123456789abcdef"
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'[[tokens]]\ntoken = "{token}"\nname = "ann"\nroles = ["caller", "admin"]\n')
    tokens.chmod(0o600)
    yield from serving(Engine(tmp_path, token, SWITCHBOARD_AUTH="any", SWITCHBOARD_AUTH_TOKENS=str(tokens)))


def test_whoever_is_asked_signs_in_and_stays_so(asking, engine, browser):
    workflow_id = two_gates(asking, "mine")
    there = asking.url(f"/ui/workflows/{workflow_id}")
    page = browser.page()
    page.goto(there)
    assert page.run("document.activeElement.id") == "token", "the one field has the focus"
    page.type(asking.token)
    before = page.loads
    page.press("Enter")
    page.loaded(before)
    assert page.run("location.href") == there and state(page) == "Running"
    assert page.run("document.cookie") == "", "no script reads the token"
    # The streams of the page are let in by it too.
    asking.request("POST", f"/api/v1/workflows/{workflow_id}/signals", {"name": "go"})
    page.eventually("document.getElementById('box-approve').getAttribute('aria-label') === 'Approval: Completed'", 10)
    # Who follows a link of another site is known as well, at the second look.
    page.goto(engine.url("/ui"))
    page.run(f"location.href = {json.dumps(there)}")
    page.eventually(f"location.href === {json.dumps(there)} && document.getElementById('state') !== null")
    page.tab_to("button[value=sign-out]")
    page.press("Enter")
    page.eventually("location.pathname === '/ui/sign-in'")
    page.goto(there)
    assert page.run("document.getElementById('token') !== null")
    # The console tells of each answer 401; nothing else is wrong.
    assert [error for error in page.errors if error.get("source") != "network"] == []


# Of every text that is seen: how much it stands out from what it stands on (WCAG 2.2, 1.4.3).
CONTRAST = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const frame = at.matches("a.box") && at.querySelector(".frame");
      const color = rgb(frame ? getComputedStyle(frame).fill : getComputedStyle(at).backgroundColor);
      if (color[3] > 250) return color;
    }
    return [255, 255, 255, 255];
  };
  const bad = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim());
    if (!own || element.closest("title, noscript, option") || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const ink = rgb(element instanceof SVGElement ? style.fill : style.color);
    const [high, low] = [light(ink), light(ground(element))].sort((one, other) => other - one);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${element.tagName}.${element.getAttribute("class")} ${element.textContent.trim().slice(0, 40)}`);
  }
  return bad;
})()"""

# What is wrong with the document itself.
DOCUMENT = """(() => {
  const bad = [];
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  bad.push(...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `twice: ${id}`));
  const levels = [...document.querySelectorAll("h1, h2, h3")].map((heading) => Number(heading.tagName[1]));
  if (levels[0] !== 1 || levels.filter((level) => level === 1).length !== 1) bad.push(`headings: ${levels}`);
  levels.forEach((level, at) => at && level > levels[at - 1] + 1 && bad.push(`headings: ${levels}`));
  for (const element of document.querySelectorAll("[aria-labelledby], [aria-describedby], label[for]")) {
    const to = ["aria-labelledby", "aria-describedby", "for"].map((name) => element.getAttribute(name)).filter(Boolean);
    to.forEach((id) => document.getElementById(id) || bad.push(`leads nowhere: ${id}`));
  }
  if (document.documentElement.lang !== "en") bad.push("no language");
  if (document.querySelector("[style], [tabindex]:not([tabindex='0']):not([tabindex='-1'])")) bad.push("style or tabindex");
  if (document.documentElement.scrollWidth > innerWidth) bad.push(`wider than the screen: ${document.documentElement.scrollWidth}`);
  return bad;
})()"""

NAMED = {"link", "button", "textbox", "searchbox", "combobox", "radio", "checkbox", "table", "region", "navigation", "heading",
         "form", "search", "DisclosureTriangle"}


@pytest.fixture(scope="module")
def places(engine):
    """One of every page."""
    running = two_gates(engine, "a-running-one")
    engine.request("POST", f"/api/v1/workflows/{running}/signals", {"name": "go"})
    failing = engine.submit("a-failed-one", [
        {"id": "call", "type": "http", "target": "http://127.0.0.1:1/", "operation": "GET"}, {"id": "after", "dependencies": ["call"]}])
    eventually(20, lambda: engine.status(failing) == "FAILED")
    wide = [{"id": "gate", "type": "wait_signal", "target": "go"}]
    wide += [{"id": f"part-{n}", "dependencies": ["gate"]} for n in range(40)]
    wide = engine.submit("a-wide-one", [*wide, {"id": "sum", "dependencies": [f"part-{n}" for n in range(40)]}])
    spec = {"cron": "0 8 * * 1-5", "time_zone": "Europe/Rome", "workflow": {"name": "report", "tasks": [{"id": "a"}]}}
    engine.request("POST", "/api/v1/schedules", {"schedule_id": "mornings", "spec": spec})
    workflow = f"/ui/workflows/{running}"
    return {"list": "/ui", "none": "/ui?name=none", "workflow": workflow, "task": f"{workflow}/tasks/ship",
            "history": f"{workflow}/history", "log": f"{workflow}/log", "failed": f"/ui/workflows/{failing}",
            "failed-task": f"/ui/workflows/{failing}/tasks/call", "wide": f"/ui/workflows/{wide}", "engine": "/ui/engine",
            "schedules": "/ui/schedules", "sign-in": "/ui/sign-in", "missing": "/ui/workflows/missing"}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_can_be_read_by_everybody(engine, browser, places, dark):
    page = browser.page(dark=dark)
    for name, path in places.items():
        page.goto(engine.url(path))
        # A page that is not found is told of in the console too.
        page.errors = [error for error in page.errors if error.get("source") != "network" or name != "missing"]
        assert page.run(CONTRAST) == [], name
        if SHOTS:
            page.screenshot(pathlib.Path(SHOTS) / f"{name}-{'dark' if dark else 'light'}.png")
        if not dark:
            # What is said does not change with colours.
            seen = page.names()
            roles = [role for role, _ in seen]
            assert all(roles.count(one) == 1 for one in ("main", "banner", "contentinfo")), (name, roles)
            assert [entry for entry in seen if entry[0] in NAMED and not entry[1].strip()] == [], name
            assert page.run(DOCUMENT) == [], name
            page.resize(360, 740)
            assert page.run(DOCUMENT) == [], f"{name} on a telephone"
            if SHOTS:
                page.screenshot(pathlib.Path(SHOTS) / f"{name}-small.png")
            page.resize(1280, 900)
    is_clean(page, engine)

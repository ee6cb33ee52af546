"""deploy/Dockerfile and .dockerignore: do they agree with each other and with the sources? hadolint judges the style apart.

Invariant: a file that the build reads is let through by .dockerignore and copied, and nothing else is.
"""

import re

from facts import ROOT, port_of, text


def instructions(body):
    """(word, rest) of each instruction, continued lines joined, comments gone."""
    lines = [line for line in body.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]


def exec_form(rest):
    return re.findall(r'"([^"]*)"', rest[rest.index("[") :]) if "[" in rest else None


def base_faults(body, facts):
    arguments = dict(rest.split("=", 1) for word, rest in instructions(body) if word == "ARG" and "=" in rest)
    for word, rest in instructions(body):
        if word == "FROM" and not re.match(r"\$\{\w+_IMAGE\}", rest):
            yield f"FROM {rest}: a base that no argument can pin by digest"
    for name, image in arguments.items():
        if name.endswith("_IMAGE") and (":" not in image.rsplit("/", 1)[-1] or image.endswith(":latest")):
            yield f"{name}: {image} may be anything"
    if not arguments["RUST_IMAGE"].rsplit(":", 1)[-1].startswith(f"{facts.rust}-"):
        yield f"RUST_IMAGE is not the Rust {facts.rust} of Cargo.toml"
    releases = [("trixie", "debian13"), ("bookworm", "debian12")]
    if not any(a in arguments["RUST_IMAGE"] and b in arguments["BASE_IMAGE"] for a, b in releases):
        yield "builder and base are of different Debian releases"
    if arguments["VERSION"] != facts.version:
        yield f"VERSION is not {facts.version} (Cargo.toml)"


def final_faults(body, facts):
    said = instructions(body[body.rindex("\nFROM") :])
    given = dict(said)
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", given.get("USER", "")):
        yield "USER is not a number other than root's, which runAsNonRoot wants"
    entry, health = exec_form(given.get("ENTRYPOINT", "")), exec_form(given.get("HEALTHCHECK", ""))
    if not entry or not health or health[: len(entry)] != entry:
        yield "HEALTHCHECK and ENTRYPOINT are not the same program with the same configuration, or want a shell"
    for words in filter(None, (health and health[len(entry or []) :], exec_form(given.get("CMD", "")))):
        if not facts.knows_command(words[0]):
            yield f"there is no `leadline {words[0]}`"
    if any(word == "RUN" for word, _ in said):
        yield "RUN in the final image, which has no shell"
    http = facts.over(text("config/production.toml"))["http"]
    if given.get("EXPOSE", "").split() != [str(port_of(http[listen])) for listen in ("listen", "metrics_listen")]:
        yield "EXPOSE is not the ports of config/production.toml"


def build_faults(body):
    said = body[: body.rindex("\nFROM")]
    for needed in ("--locked", "--release", "SQLX_OFFLINE=true", "SOURCE_DATE_EPOCH", "--mount=type=cache"):
        if needed not in said:
            yield f"the build lacks {needed}"


def context_faults(body, ignore):
    allowed = {line[1:] for line in ignore.splitlines() if line.startswith("!")}
    if "*" not in ignore.splitlines():
        yield ".dockerignore does not begin by ignoring everything"
    copied = set()
    for word, rest in instructions(body):
        if word == "COPY" and "--from" not in rest:
            copied.update(part for part in rest.split()[:-1] if not part.startswith("--"))
    for path in sorted(copied):
        if path.split("/")[0] not in allowed:
            yield f".dockerignore keeps {path} from COPY"
        if not (ROOT / path).exists():
            yield f"COPY {path}: no such file"
    yield from (f".dockerignore lets {path} in for nobody" for path in sorted(allowed - {p.split("/")[0] for p in copied}))
    for source in sorted((ROOT / "src").rglob("*.rs")):
        for included in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', source.read_text(encoding="utf-8")):
            path = (source.parent / included).resolve().relative_to(ROOT)
            if not any(path.parts[0] == one for one in copied):
                yield f"{source.relative_to(ROOT)} includes {path}, which no COPY brings"


def faults(facts, body=None, ignore=None):
    body, ignore = body or text("deploy/Dockerfile"), ignore or text(".dockerignore")
    yield from base_faults(body, facts)
    yield from final_faults(body, facts)
    yield from build_faults(body)
    yield from context_faults(body, ignore)

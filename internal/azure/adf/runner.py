"""One activity of a FlowEHR pipeline, run by Databricks.

This file was generated from the pipeline's definition and is replaced by the next deployment. Its last line holds the job;
the arguments are the identifier of the run and the values that only the run knows. No value becomes text of a statement:
values are bound, names are quoted.
"""

import datetime
import hashlib
import json
import os
import re
import sys
import threading
import time
import urllib.parse
import urllib.request
import uuid

FORMAT = "delta"  # of the lake's tables


class AssertionFailed(Exception):
    """An assertion of the definition does not hold."""


class QueryFailed(Exception):
    """A statement cannot be run."""


class InvalidDefinition(Exception):
    """The definition contradicts itself, or the run gave it a value that does not fit."""


def log(text):
    print(text, flush=True)


def brief(cause):
    """The first line of an error; the rest are the engine's plans."""
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0][:600]


def thousands(number):
    return format(number, ",")


# Values and names.


def resolve(node, argv):
    """The job with every argument in its place."""
    if isinstance(node, list):
        return [resolve(item, argv) for item in node]
    if not isinstance(node, dict):
        return node
    if set(node) == {"$argument", "form"}:
        text = argv[node["$argument"]]
        return json.loads(text)[0] if node["form"] == "json" else text
    return {key: resolve(item, argv) for key, item in node.items()}


def typed(value, kind, name):
    """A parameter with the type that it is declared with. Values that people pass are often text."""
    if value is None:
        return None
    try:
        if kind in ("Int16", "Int32", "Int64"):
            number = float(value) if isinstance(value, float) else int(value)
            if number != int(number) or isinstance(value, bool):
                raise ValueError()
            return int(number)
        if kind == "Boolean":
            return value if isinstance(value, bool) else {"true": True, "false": False}[str(value).lower()]
        if kind.lower() in ("datetime", "datetimeoffset"):
            # Time zone Z and seven digits of a second are how Data Factory writes a time.
            text = re.sub(r"(\.\d{6})\d+", r"\1", str(value).replace("Z", "+00:00"))
            at = datetime.datetime.fromisoformat(text)
            return at if at.tzinfo else at.replace(tzinfo=datetime.timezone.utc)
    except (KeyError, TypeError, ValueError):
        raise InvalidDefinition("parameter %r of type %s does not fit its value" % (name, kind)) from None
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value


def quote(name, opening="`", closing="`"):
    if not isinstance(name, str) or not name or "\0" in name:
        raise InvalidDefinition("%r is not a name" % (name,))
    return opening + name.replace(closing, closing + closing) + closing


QUOTES = {"sqlserver": "[]", "mysql": "``", "postgresql": '""'}


def quoted(kind, *parts):
    opening, closing = QUOTES[kind]
    return ".".join(quote(part, opening, closing) for part in parts if part)


def lake_table(place):
    zone, table = str(place.get("zone") or "").lower(), str(place.get("table") or "").lower()
    if not re.fullmatch(r"[a-z0-9_-]+", zone) or not re.fullmatch(r"[a-z0-9_-]+", table):
        raise InvalidDefinition("%s.%s is not a table of the lake" % (zone, table))
    return quote(zone) + "." + quote(table)


# Statements on the lake.


def execute(spark, parts, values=None):
    """Runs a statement, whose parts are text or {"param": name}."""
    names = sorted({part["param"] for part in parts if isinstance(part, dict)})
    if not names:
        return spark.sql("".join(parts))
    version = tuple(int(n) for n in re.findall(r"\d+", spark.version)[:2])
    if version >= (3, 5):
        text = "".join(":" + part["param"] if isinstance(part, dict) else part for part in parts)
        return spark.sql(text, args={name: values[name] for name in names})
    # Before it could bind values, Spark writes them itself, as literals of its own.
    from pyspark.sql import functions

    def literal(value):
        return functions.lit(value)._jc.expr().sql()

    return spark.sql("".join(literal(values[part["param"]]) if isinstance(part, dict) else part for part in parts))


def prepare(spark, job):
    """Makes the zones known as schemas, each in its container of the lake."""
    spark.conf.set("spark.sql.ansi.enabled", "true")  # a value that does not fit is an error, not null
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.legacy.createHiveTableByDefault", "false")
    spark.conf.set("spark.sql.sources.default", FORMAT)
    account = spark.conf.get("spark.secret.datalake-uri", None)  # absent where zones are only schemas
    if job["catalog"]:
        spark.sql("USE CATALOG " + quote(job["catalog"]))
    for zone in job["zones"]:
        text = "CREATE SCHEMA IF NOT EXISTS " + quote(zone)
        if account:
            text += " %s '%s/'" % ("MANAGED LOCATION" if job["catalog"] else "LOCATION", container(spark, zone))
        spark.sql(text)


def once(spark, job, run, number):
    """Lets the table's log refuse a write that an earlier attempt of the same run has done."""
    if job["loop"]:
        return  # the passes of a loop cannot be told from attempts
    key = hashlib.sha256(("%s/%s/%s" % (run, job["pipeline"], job["activity"])).encode()).hexdigest()
    spark.conf.set("spark.databricks.delta.write.txnAppId", "flowehr-" + key)
    spark.conf.set("spark.databricks.delta.write.txnVersion", str(number))


def script(spark, job, run):
    number = 0
    for block in job["job"]["scripts"]:
        values = {p["name"]: typed(p["value"], p["type"], p["name"]) for p in block.get("params") or []}
        for statement in block["statements"]:
            number += 1
            if not statement.get("rows"):
                once(spark, job, run, number)
            try:
                found = execute(spark, statement["sql"], values)
                text = "%s rows" % thousands(found.count()) if statement.get("rows") else "done"
            except Exception as cause:
                raise QueryFailed("statement %d (line %d): %s" % (number, statement["line"], brief(cause))) from cause
            log("statement %d: %s" % (number, text))
    check(spark, job["job"]["assertions"])


def check(spark, assertions):
    """Evaluates every assertion, also after one has failed."""
    if not assertions:
        return
    log("checking %d assertions" % len(assertions))
    broken, unknown, held = [], [], 0
    for a in assertions:
        try:
            total, bad = spark.sql(a["count"]).collect()[0]
            total, bad = int(total), int(bad)
        except Exception as cause:
            log("error %-28s %s" % (a["name"], brief(cause)))
            unknown.append("%s: %s" % (a["name"], brief(cause)))
            continue
        if a.get("bounds"):
            outside = ("min" in a and total < a["min"]) or ("max" in a and total > a["max"])
            bad = 1 if outside else 0
        if bad == 0:
            held += 1
            log("ok    %-28s %s" % (a["name"], thousands(total)))
            continue
        log("%-5s %-28s %s" % ("warn" if a.get("warning") else "fail", a["name"], sentence(a, total, bad)))
        sample(spark, a)
        if not a.get("warning"):
            broken.append(sentence(a, total, bad))
    if not broken and not unknown:
        log("%d of %d hold" % (held, len(assertions)))
        return
    log("%d of %d hold; what depends on them does not run" % (held, len(assertions)))
    if not broken:
        raise QueryFailed("an assertion could not be checked: " + "; ".join(unknown))
    raise AssertionFailed("; ".join(broken + unknown))


def sentence(a, total, bad):
    if a.get("bounds"):
        return "%s: the table has %s rows" % (a["name"], thousands(total))
    if not a["table"]:
        return "%s: %s rows" % (a["name"], thousands(bad))
    return "%s: %s of %s rows" % (a["name"], thousands(bad), thousands(total))


def sample(spark, a):
    """Names the first rows that violate an assertion by their keys."""
    if not a.get("sample"):
        return
    try:
        for row in spark.sql(a["sample"]).collect():
            log("      " + ", ".join("%s %s" % (k, "null" if v is None else v) for k, v in row.asDict().items()))
    except Exception as cause:
        log("      the rows cannot be shown: %s" % brief(cause))


# Copies.


def copy(spark, job, run):
    from pyspark.sql import Observation, functions

    spec = job["job"]
    rows = read(spark, job, spec["source"], spec)
    rows, aside = convert(rows, spec)
    if aside is not None:
        aside = aside.persist()
    seen = Observation()
    rows = rows.observe(seen, functions.count(functions.lit(1)).alias("rows"))
    sink = spec["sink"]
    if sink["kind"] == "lake":
        once(spark, job, run, 1)
        name = lake_table(sink)
        out = rows.write.format(FORMAT).mode(sink["mode"])
        if sink["mode"] == "overwrite":
            out = out.option("overwriteSchema", "true")
        out.saveAsTable(name)
        label = "%s.%s" % (sink["zone"], sink["table"])
    else:
        publish(spark, job, sink, rows, run)
        label = "%s.%s" % (sink["schema"], sink["table"])
    count = observed(seen)
    log("wrote %s rows to %s" % (thousands(count), label) if count is not None else "written to %s by an earlier attempt" % label)
    if aside is not None:
        set_aside(spark, aside, sink, run)
    measure(job["pipeline"], label, count or 0)


def observed(seen):
    """The number of rows that were written; None when the table's log said that they had been before, so that none were read."""
    found = []
    reader = threading.Thread(target=lambda: found.append(seen.get["rows"]), daemon=True)
    reader.start()
    reader.join(60)
    return found[0] if found else None


def read(spark, job, source, spec):
    if source["kind"] == "lake":
        return execute(spark, source["query"]) if source.get("query") else spark.table(lake_table(source))
    if source["kind"] == "files":
        return read_files(spark, source, spec)
    if source["kind"] == "store":
        server, options = store(spark, job["store"])
    else:
        server, options = database(spark, source)
    query = source.get("query") or "select * from " + quoted(server, source.get("schema"), source["table"])
    return spark.read.format("jdbc").options(**options).option("query", query).load()


def database(spark, source):
    """How to reach a data source: the names of its settings are those that every pipeline reads."""
    kind, tls = source["server"], source.get("tls") or "require"

    def setting(what):
        return spark.conf.get("spark.secret.%s-%s" % (source["name"], what))

    host, name = setting("fqdn"), setting("database")
    if source.get("port"):
        host += ":%d" % source["port"]
    if kind == "sqlserver":
        url = "jdbc:sqlserver://%s;databaseName={%s};encrypt=%s;trustServerCertificate=%s" % (
            host, name.replace("}", "}}"), "false" if tls == "disable" else "true", "false" if tls == "verify" else "true")
    elif kind == "postgresql":
        mode = {"disable": "disable", "verify": "verify-full"}.get(tls, "require")
        url = "jdbc:postgresql://%s/%s?sslmode=%s" % (host, urllib.parse.quote(name, safe=""), mode)
    else:
        mode = {"disable": "disable", "verify": "verify-full"}.get(tls, "trust")
        url = "jdbc:mariadb://%s/%s?sslMode=%s" % (host, urllib.parse.quote(name, safe=""), mode)
    return kind, {"url": url, "user": setting("username"), "password": setting("password"), "fetchsize": "10000"}


def container(spark, name):
    """The address of a container of the lake."""
    return "abfss://%s@%s" % (name, spark.conf.get("spark.secret.datalake-uri"))


def read_files(spark, source, spec):
    path = "/".join(p for p in (container(spark, source["container"]), source.get("folder"), source.get("file")) if p)
    files = spark.read.option("recursiveFileLookup", "true" if source["recursive"] else "false")
    if source.get("pattern"):
        files = files.option("pathGlobFilter", source["pattern"])
    if source["format"] == "parquet":
        return files.parquet(path)
    if source["format"] == "json":
        return files.text(path)  # one object a line, see convert
    csv = source["csv"]
    files = files.option("sep", csv["delimiter"]).option("quote", csv["quote"]).option("escape", csv["escape"])
    files = files.option("header", csv["header"]).option("encoding", csv["encoding"]).option("multiLine", "true")
    files = files.option("nullValue", csv["null"]).option("emptyValue", "").option("mode", "FAILFAST")
    return files.csv(path)


def convert(rows, spec):
    """The rows as the mapping wants them, and those that are set aside (None when rows that do not fit are an error)."""
    from pyspark.sql import functions as f

    mapping, skip = spec.get("mapping") or [], spec.get("skip")
    lines = spec["source"]["kind"] == "files" and spec["source"]["format"] == "json"
    aside = None
    if lines:
        whole = f.get_json_object(rows["value"], "$").isNotNull() & f.ltrim(rows["value"]).startswith("{")
        rows = rows.where(f.trim(rows["value"]) != "")
        if skip:
            aside, rows = rows.where(~whole), rows.where(whole)
        else:
            # Raised for the first line that is no object.
            rows = rows.withColumn("value", f.when(whole, rows["value"]).otherwise(
                f.raise_error("a line is not a JSON object; enableSkipIncompatibleRow would set it aside")))
    if not mapping:
        return rows, aside
    names = {c.lower(): c for c in rows.columns}
    before, after, fits = [], [], None
    for i, m in enumerate(mapping):
        if lines:
            column = f.get_json_object(rows["value"], m["path"])
        elif m.get("ordinal"):
            column = rows[quote(rows.columns[m["ordinal"] - 1])]
        elif m["source"].lower() in names:
            column = rows[quote(names[m["source"].lower()])]
        else:
            raise InvalidDefinition("translator: the source has no column %r; it has %s" % (m["source"], ", ".join(rows.columns)))
        raw = "__%d" % i
        before.append(column.alias(raw))
        after.append(f.expr("cast(`%s` as %s)" % (raw, m["type"])).alias(m["sink"]) if m.get("type") else f.col(raw).alias(m["sink"]))
        if skip and m.get("type"):
            fit = f.expr("`%s` is null or try_cast(`%s` as %s) is not null" % (raw, raw, m["type"]))
            fits = fit if fits is None else fits & fit
    rows = rows.select(*before)
    if fits is not None:
        misfits = rows.where(~fits).select(f.to_json(f.struct("*")).alias("value"))
        aside = misfits if aside is None else aside.unionByName(misfits)
        rows = rows.where(fits)
    return rows.select(*after), aside


def set_aside(spark, aside, sink, run):
    """Keeps rows that do not fit whole, beside the tables of the zone."""
    count = aside.count()
    if count == 0:
        return
    path = "%s/_quarantine/%s/%s" % (container(spark, sink["zone"]), sink["table"], run)
    aside.write.mode("append").text(path)
    log("%s rows could not be read and are kept in %s" % (thousands(count), path))


# The feature store.


def token(spark, resource):
    """A token of the application that writes features."""
    form = urllib.parse.urlencode({
        "grant_type": "client_credentials", "scope": resource + "/.default",
        "client_id": spark.conf.get("spark.secret.feature-store-app-id"),
        "client_secret": spark.conf.get("spark.secret.feature-store-app-secret"),
    }).encode()
    address = "https://login.microsoftonline.com/%s/oauth2/v2.0/token" % spark.conf.get("spark.secret.azure-tenant-id")
    with urllib.request.urlopen(address, form, timeout=60) as answer:
        return json.load(answer)["access_token"]


def store(spark, settings):
    host, name = spark.conf.get("spark.secret.feature-store-fqdn"), spark.conf.get("spark.secret.feature-store-database")
    if settings["engine"] == "mssql":
        url = "jdbc:sqlserver://%s:1433;databaseName={%s};encrypt=true" % (host, name.replace("}", "}}"))
        return "sqlserver", {"url": url, "accessToken": token(spark, "https://database.windows.net")}
    url = "jdbc:postgresql://%s:5432/%s?sslmode=require" % (host, urllib.parse.quote(name, safe=""))
    return "postgresql", {"url": url, "user": settings["user"],
                          "password": token(spark, "https://ossrdbms-aad.database.windows.net")}


def publish(spark, job, sink, rows, run):
    """Loads a table beside the published one and puts it in its place, or adds its rows, in one transaction."""
    server, options = store(spark, job["store"])
    unique = uuid.uuid4().hex if job["loop"] else ""  # the passes of a loop cannot be told from attempts
    mark = hashlib.sha256(("%s/%s/%s/%s" % (run, job["pipeline"], job["activity"], unique)).encode()).hexdigest()[:16]
    loaded = "%s__%s" % (sink["table"], mark)
    execute_on(spark, options, [schema_statement(server, sink["schema"])])
    rows.write.format("jdbc").options(**options).option("dbtable", quoted(server, sink["schema"], loaded)).mode("overwrite").save()
    steps = insertion(server, sink, loaded, mark, rows.columns) if sink["mode"] == "insert" else swap(server, sink, loaded)
    execute_on(spark, options, lock(server, sink) + steps)


def lock(server, sink):
    """Lets one job at a time change a table, until the end of the transaction."""
    name = "flowehr:%s.%s" % (sink["schema"], sink["table"])
    if server == "postgresql":
        return ["SELECT pg_advisory_xact_lock(hashtext(%s))" % text(name)]
    return ["SET XACT_ABORT ON", "EXEC sp_getapplock @Resource = N%s, @LockMode = 'Exclusive'" % text(name)]


def schema_statement(server, schema):
    if server == "postgresql":
        return "CREATE SCHEMA IF NOT EXISTS " + quoted(server, schema)
    return "IF SCHEMA_ID(N%s) IS NULL EXEC(N%s)" % (text(schema), text("CREATE SCHEMA " + quoted(server, schema)))


def text(value):
    """A text literal of SQL Server and PostgreSQL."""
    if "\0" in value or "\\" in value:
        raise InvalidDefinition("%r cannot be the name of a feature table" % value)
    return "'" + value.replace("'", "''") + "'"


def swap(server, sink, loaded):
    """The statements that put the loaded table in the place of the published one and keep that as ...__previous."""
    schema, table, before = sink["schema"], sink["table"], sink["table"] + "__previous"
    if server == "postgresql":
        return [
            "DROP TABLE IF EXISTS " + quoted(server, schema, before),
            "ALTER TABLE IF EXISTS %s RENAME TO %s" % (quoted(server, schema, table), quoted(server, before)),
            "ALTER TABLE %s RENAME TO %s" % (quoted(server, schema, loaded), quoted(server, table)),
        ]
    return [
        "DROP TABLE IF EXISTS " + quoted(server, schema, before),
        "IF OBJECT_ID(N%s) IS NOT NULL EXEC sp_rename N%s, N%s" % (
            text(quoted(server, schema, table)), text(quoted(server, schema, table)), text(before)),
        "EXEC sp_rename N%s, N%s" % (text(quoted(server, schema, loaded)), text(table)),
    ]


def insertion(server, sink, loaded, mark, columns):
    """The statements that add the loaded rows, unless an earlier attempt of the same run has: it left its mark."""
    table, fresh = quoted(server, sink["schema"], sink["table"]), quoted(server, sink["schema"], loaded)
    marks, names = quoted(server, sink["schema"], "flowehr__added"), ", ".join(quoted(server, c) for c in columns)
    missing = "NOT EXISTS (SELECT 1 FROM %s WHERE mark = %s)" % (marks, text(mark))
    if server == "postgresql":
        create = ["CREATE TABLE IF NOT EXISTS %s (mark varchar(64) PRIMARY KEY)" % marks]
        create += ["CREATE TABLE IF NOT EXISTS %s AS SELECT * FROM %s WHERE false" % (table, fresh)]
    else:
        create = ["IF OBJECT_ID(N%s) IS NULL CREATE TABLE %s (mark varchar(64) PRIMARY KEY)" % (text(marks), marks)]
        create += ["IF OBJECT_ID(N%s) IS NULL SELECT * INTO %s FROM %s WHERE 1 = 0" % (text(table), table, fresh)]
    return create + [
        "INSERT INTO %s (%s) SELECT %s FROM %s WHERE %s" % (table, names, names, fresh, missing),
        "INSERT INTO %s (mark) SELECT %s WHERE %s" % (marks, text(mark), missing),
        "DROP TABLE " + fresh,
    ]


def execute_on(spark, options, statements):
    """Runs statements in one transaction, through the driver that Spark has."""
    jvm = spark._jvm
    settings = jvm.java.util.Properties()
    for key, value in options.items():
        if key != "url":
            settings.setProperty(key, value)
    connection = jvm.java.sql.DriverManager.getConnection(options["url"], settings)
    try:
        connection.setAutoCommit(False)
        statement = connection.createStatement()
        for one in statements:
            statement.execute(one)
        connection.commit()
    except Exception:
        connection.rollback()
        raise
    finally:
        connection.close()


def measure(pipeline, table, rows):
    """Reports how many rows were written, for the pipeline's dashboard. A failure is told and does no harm."""
    settings = dict(p.split("=", 1) for p in os.environ.get("APPLICATIONINSIGHTS_CONNECTION_STRING", "").split(";") if "=" in p)
    if "InstrumentationKey" not in settings:
        return
    address = settings.get("IngestionEndpoint", "https://dc.services.visualstudio.com").rstrip("/") + "/v2.1/track"
    body = [{
        "name": "Microsoft.ApplicationInsights.Metric", "iKey": settings["InstrumentationKey"],
        "time": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "data": {"baseType": "MetricData", "baseData": {
            "ver": 2, "metrics": [{"name": pipeline + "/rows_updated", "value": rows, "count": 1}],
            "properties": {"table_name": table}}},
    }]
    try:
        request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=30).close()
    except OSError as cause:
        log("the number of rows could not be reported: %s" % cause)


def run(job, argv):
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.getOrCreate()
    identifier, job = argv[0], resolve(job, argv[1:])
    prepare(spark, job)
    {"script": script, "copy": copy}[job["kind"]](spark, job, identifier)

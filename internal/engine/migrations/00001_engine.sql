-- +goose Up

-- The current version of each pipeline, and every version that a run may be pinned to.
create table engine.pipeline (
    name          text primary key,
    version       integer not null,
    digest        text not null,
    project       text not null,
    concurrency   integer not null,
    registered_at timestamptz not null,
    registered_by text not null,
    removed_at    timestamptz
);

create table engine.pipeline_version (
    name          text not null,
    version       integer not null,
    digest        text not null,
    bundle        bytea not null,
    registered_at timestamptz not null,
    registered_by text not null,
    primary key (name, version)
);

-- A worker is alive while its session holds the advisory lock (class, id) and its lease is renewed.
create table engine.worker (
    id          integer generated always as identity primary key,
    name        text not null,
    started_at  timestamptz not null default now(),
    lease_until timestamptz not null
);

create table engine.run (
    id             uuid primary key,
    ordinal        bigint generated always as identity,
    pipeline       text not null,
    version        integer not null,
    project        text not null,
    status         text not null default 'Queued',
    concurrency    integer not null default 0,
    owner          integer,
    epoch          integer not null default 0,
    parameters     json not null,           -- real values, replaced by the masked ones when the run has succeeded
    shown          json not null,           -- the same with secure values masked
    dimensions     json,
    by             text not null,
    invoked        text not null,           -- Manual, PipelineActivity or the type of the trigger
    trigger_name   text not null default '',
    trigger_time   timestamptz not null,
    group_id       uuid not null,
    parent         uuid,
    parent_path    text not null default '',
    parent_name    text not null default '',
    depth          integer not null default 0,
    resumed_from   uuid,
    cancelled_by   text not null default '',
    queued_at      timestamptz not null,
    started_at     timestamptz,
    ended_at       timestamptz,
    message        text not null default '',
    why            text not null default '',
    evaluated      text[] not null default '{}',
    return_value   json
);
create index run_claim on engine.run (ordinal) where status = 'Queued' and concurrency = 0;
create index run_queue on engine.run (pipeline, ordinal) where concurrency > 0 and status in ('Queued', 'InProgress', 'Canceling');
create index run_active on engine.run (owner) where status in ('InProgress', 'Canceling');
create index run_recent on engine.run (queued_at desc);
create index run_pipeline on engine.run (pipeline, ordinal desc);
create index run_parent on engine.run (parent) where parent is not null;

-- data is what anybody may see; held is the whole of it where data had to be masked, and is dropped with success.
create table engine.event (
    run_id  uuid not null,
    seq     integer not null,
    epoch   integer not null,
    path    text not null,
    kind    text not null,
    attempt integer not null default 0,
    at      timestamptz not null,
    data    json,
    held    json,
    tables  jsonb,
    primary key (run_id, seq)
);
create index event_held on engine.event (run_id) where held is not null;
create index event_tables on engine.event using gin (tables jsonb_path_ops) where tables is not null;

create table engine.log (
    run_id  uuid not null,
    path    text not null,
    attempt integer not null,
    seq     bigint generated always as identity,
    at      timestamptz not null,
    line    text not null,
    primary key (run_id, path, attempt, seq)
);

create table engine.progress (
    run_id uuid not null,
    path   text not null,
    rows   bigint not null,
    at     timestamptz not null,
    primary key (run_id, path)
);

-- A trigger row belongs to the pipeline in whose bundle it stands and starts that pipeline only.
create table engine.trigger (
    name     text not null,
    pipeline text not null references engine.pipeline (name) on delete cascade,
    type     text not null,
    defined  boolean not null,              -- started, by the definition
    started  boolean not null,              -- started, by whoever decided last
    decided_by text not null,
    next_at  timestamptz,
    primary key (name, pipeline)
);
create index trigger_due on engine.trigger (next_at) where started and next_at is not null;

create table engine.trigger_fire (
    trigger  text not null,
    pipeline text not null,
    fire_at  timestamptz not null,
    state    text not null,                 -- Succeeded, Failed or Missed
    run_id   uuid,
    message  text not null default '',
    at       timestamptz not null,
    primary key (trigger, pipeline, fire_at)
);

-- +goose Down
drop schema engine cascade;

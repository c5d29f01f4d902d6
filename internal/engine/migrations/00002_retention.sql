-- +goose Up

-- What a run keeps does not stay for ever: secure values go with success or after some days, details after some months.
-- parameters holds real values only where they differ from the shown ones, and is null again once they are deleted.
alter table engine.run alter column parameters drop not null;
alter table engine.run add column secrets_deleted_at timestamptz;
alter table engine.run add column details_deleted_at timestamptz;
update engine.run set parameters = null where parameters::text = shown::text or status = 'Succeeded';
create index run_secret on engine.run (ended_at) where parameters is not null;
create index run_details on engine.run (ended_at) where ended_at is not null and details_deleted_at is null;
create index fire_at on engine.trigger_fire (fire_at);

-- +goose Down
drop index engine.fire_at, engine.run_details, engine.run_secret;
alter table engine.run drop column details_deleted_at, drop column secrets_deleted_at;
update engine.run set parameters = shown where parameters is null;
alter table engine.run alter column parameters set not null;

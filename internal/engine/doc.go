// Package engine runs Data Factory pipelines so that they survive a crash at any instant. It knows control flow (loops,
// branches, variables, child pipelines, retries, time-outs, triggers) and no other activity type: those are handed to it
// as a map from type to [Activity].
//
// Everything that happens to a run is an event in PostgreSQL. A [Store] submits, stops and reads runs and needs no
// worker; an [Engine] is a worker that claims runs and carries them on. Any number of engines may share a database.
//
// The rules that hold here:
//
//   - An activity instance has a path ("/Loop[17]/Copy") that does not depend on timing. A run is carried on after a
//     crash by looking finished paths up, so nothing else has to be deterministic.
//   - Events of a run are written in order. No attempt begins before everything that led to it is durable, and no run
//     is reported as finished before its last event is.
//   - Every event is checked against the owner and epoch of its run in the statement that writes it. A worker that was
//     replaced writes nothing more and leaves the run alone in silence.
//   - A decision that time could change (the items of a loop, the branch taken, whether a loop goes round again) is an
//     event, and is read back instead of being taken twice.
//   - What nobody may see is masked in everything that is read. The values themselves are kept only for as long as a run
//     may need them: until it or one that resumes it succeeds, or Options.KeepSecrets has passed.
//   - The log of a run is complete when its end can be seen.
//
// Activities are called at least once: an attempt whose end was not recorded is made again.
package engine

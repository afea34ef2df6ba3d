// Package store is what outlives the process, in SQLite: charges, learned limits, history, batch jobs.
//
// Today it holds charges and learned limits, in the file state.db of the state directory. It holds no secret: an account is named as
// in the settings, or, where each client's own credential is one, by a fingerprint.
//
// # What is promised
//
//   - A charge is on disk when [Store.Charged] returns nil, against a killed process: no SIGKILL loses it. A power cut may lose the
//     last moments, since the disk is made to sync only now and then (WAL, synchronous=NORMAL).
//   - What is lost errs to one side only. [Store.Sent] and [Store.Refunded] come to disk within a second; without them a charge is
//     open, and an open charge counts as sent at the last moment of its process.
//   - Nothing waits for a disk: when it does not answer within [Patience], a charge goes without.
//   - When the disk is full, read-only or broken, the store goes on in memory, says so once a minute and by [Store.Degraded], and tries
//     again every minute. When it works again, all that memory holds is carried over.
//   - A damaged file is set aside, a new one begun, and [Store.Restore] says that charges are missing.
//   - A directory belongs to one process. A second one is refused by a file lock, which ends with its process, however that ends.
//
// # How a restart knows what it does not know
//
// Three things are written before they are needed, since a killed process writes nothing.
//
// The gap: a time until when charges may be missing. It cannot stand in the database, which is what fails, so it is a number of fixed
// width in the lock file: to overwrite it takes no space on a disk that is full. It is set to "for ever" when the disk fails, and
// back when all is carried over; a restart that finds it in the future reports [quota.Memory].Lost. After damage it is the longest
// window there can be, so that a second restart does not trust what the first could not know. Only a disk that refuses even that
// write, and is well again at the next start, goes unnoticed.
//
// The pulse: once a minute the process writes that it lives. An open charge may have been sent as late as two minutes after the
// last pulse, but not later; so what was left open long ago does not count for ever.
//
// The time line: times are stored as what the wall clock says, but are told apart by the monotonic clock. When the wall clock is set
// while the process runs, all that is stored is moved along with it; when it was set back in between, what then lies in the future
// is taken for now.
//
// # How it is cut
//
// A [Store] is the queue before the [vault]; the vault knows where the state is kept just now, on disk or in memory, and is used by
// one goroutine at a time; a database is one SQLite connection with its statements, the same for both places.
//
// Whoever commits takes all that is queued with it, so that many charges share one transaction: while one is under way the next one
// fills. While [Store.Run] runs it commits, and the callers of Charged can give up waiting; before it and after it each of them
// commits for itself.
package store

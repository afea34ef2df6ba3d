// Package history is the series behind the graphs and how old samples are thinned.
//
// A [Log] keeps the same past four times, once for each [Span] that a graph may show: the last 15 minutes in steps of 5 s, an hour in
// steps of 15 s, 6 hours in minutes, a day in steps of 5 minutes. Every observation goes into the running row of each of the four; so
// nothing is ever thinned afterwards, and a percentile over five minutes is that of its requests, not of sixty percentiles.
//
// A row has a fixed size of some 400 bytes, most of it the four histograms of waits, and there are at most 1,068 of them: half a megabyte
// once a day has passed, nothing while nobody has come. Rows stand for wall-clock steps, so that those of an earlier process fit in.
//
// As an example, take a request of class NORMAL that is granted at 10:00:07 after 3 s. It is counted in the rows of 10:00:05, 10:00:00,
// 10:00 and 10:00, in bucket 12 of NORMAL, which holds waits from 2.048 s to 4.096 s. If it is alone in its row, the median of that row
// is the middle of the bucket, 3.072 s: an estimate is never off by more than its bucket, a factor of two.
package history

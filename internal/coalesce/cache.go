package coalesce

import (
	"container/list"
	"time"
)

// cache holds answers until they are too old, or until room is needed and they were asked for least recently. It has no lock. The
// zero value holds none.
type cache struct {
	maxBytes int64
	maxAge   time.Duration

	entries map[key]*list.Element // of entry
	order   list.List             // the one that was asked for last is in front
	bytes   int64                 // of all of them
}

type entry struct {
	key    key
	answer *Answer
}

// get returns the answer to a request; nil if there is none that is young enough at the time now.
func (c *cache) get(k key, now time.Time) *Answer {
	element := c.entries[k]
	if element == nil {
		return nil
	}
	answer := element.Value.(entry).answer
	if now.Sub(answer.Made) >= c.maxAge {
		c.remove(element)
		return nil
	}
	c.order.MoveToFront(element)
	return answer
}

// put holds an answer, in the place of an older one to the same request. One that has no room or no time is not held.
func (c *cache) put(k key, a *Answer) {
	if old := c.entries[k]; old != nil {
		c.remove(old)
	}
	size := a.size()
	if size > c.maxBytes || c.maxAge <= 0 {
		return
	}
	for c.bytes+size > c.maxBytes {
		c.remove(c.order.Back())
	}
	if c.entries == nil {
		c.entries = make(map[key]*list.Element)
	}
	c.entries[k] = c.order.PushFront(entry{k, a})
	c.bytes += size
}

// remove lets go of an entry.
func (c *cache) remove(element *list.Element) {
	old := c.order.Remove(element).(entry)
	delete(c.entries, old.key)
	c.bytes -= old.answer.size()
}

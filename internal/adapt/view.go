package adapt

import "time"

// View is a law at one moment.
type View struct {
	State   State          // NORMAL, RETREAT or RECOVER
	Phase   string         // what is done to the ceiling: steady, plus, climb or verify
	Ceiling int            // confirmed; Unknown
	Cap     int            // what pacing now uses of the window, probes included; Unknown
	Long    [LongCount]int // what the hour and the day may hold; Unknown
	Burst   int            // how many may leave at once
	Credit  float64        // probes that could be paid for
	Strain  float64        // how much longer than the even pace the distance is

	// Suspect is the length of the window that seems to be exhausted while nothing but a rare canary leaves, 0 = none, and Until when that
	// will be over.
	Suspect time.Duration
	Until   time.Time

	Probes Probes
}

// Probes counts looks beyond the ceiling by what they showed.
type Probes struct {
	Raised    uint64 // there was more
	Confirmed uint64 // it was refused
	Idle      uint64 // too little was sent to prove anything
}

var phaseNames = [...]string{steady: "steady", plus: "plus", climb: "climb", verify: "verify"}

// View returns the law as it is now.
func (l *Law) View() View {
	v := View{
		State: l.state, Phase: phaseNames[l.phase], Ceiling: l.ceiling, Cap: l.Cap(true), Burst: l.burst.n, Credit: l.credit,
		Strain: l.burst.strain, Probes: l.probes,
	}
	for i := range l.long {
		v.Long[i] = l.long[i].cap(false)
	}
	if e := &l.episode; l.state == Retreat && e.closed {
		v.Suspect, v.Until = l.long[e.level].period, l.long[e.level].endOf(e)
	}
	return v
}

// Package adapt is the control law: from outcomes to a ceiling, and the NORMAL, RETREAT, RECOVER machine.
package adapt

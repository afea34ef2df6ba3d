// Package scenarios is hidden limits of every kind in virtual time: how much of them is used, refused and waited, beside simpler laws.
package scenarios

package limit

// Scope is what a ledger is for: a model of an account of a provider, or, with an empty Model, the whole account. It is
// comparable, so it can key a map. The zero value is no scope.
type Scope struct {
	Provider string
	Account  string
	Model    string
}

// NoModel stands in for the model of a request that names none, so that its scope is not the whole account's.
const NoModel = "-"

// AccountScope returns the scope of the whole account that s belongs to.
func (s Scope) AccountScope() Scope { return Scope{Provider: s.Provider, Account: s.Account} }

// WholeAccount reports whether s is the whole account rather than one model of it.
func (s Scope) WholeAccount() bool { return s.Model == "" }

// String returns provider/account or provider/account/model, for logs and the dashboard.
func (s Scope) String() string {
	if s.WholeAccount() {
		return s.Provider + "/" + s.Account
	}
	return s.Provider + "/" + s.Account + "/" + s.Model
}

package access

import (
	"fmt"
	"slices"
	"strings"
)

// Rights is a set of rights. The empty set, as what a request needs, says that
// anyone may make it.
type Rights uint8

// The rights. None of them holds another.
const (
	Predict Rights = 1 << iota // put data to models, and ask for their inputs and outputs
	Read                       // see models, groups, history and decisions
	Metrics                    // scrape /metrics
	Admin                      // load, unload, promote and pin models, where server.model_control permits it
	Notify                     // say that something new is in the stores

	All = Predict | Read | Metrics | Admin | Notify
)

// names are the rights as the configuration spells them.
var names = []struct {
	name  string
	right Rights
}{{"predict", Predict}, {"read", Read}, {"metrics", Metrics}, {"admin", Admin}, {"notify", Notify}}

// Names returns the names of the rights in the set.
func (r Rights) Names() []string {
	list := []string{}
	for _, n := range names {
		if r&n.right != 0 {
			list = append(list, n.name)
		}
	}
	return list
}

// String lists the rights, in the form of a sentence that asks for any of them.
func (r Rights) String() string {
	return strings.Join(r.Names(), " or ")
}

// parseRights reads the list of the configuration.
func parseRights(list []string) (Rights, error) {
	var all Rights
	for _, name := range list {
		i := slices.IndexFunc(names, func(n struct {
			name  string
			right Rights
		}) bool {
			return n.name == name
		})
		if i < 0 {
			return 0, fmt.Errorf("%.40q is none of predict, read, metrics, admin and notify", name)
		}
		all |= names[i].right
	}
	if all == 0 {
		return 0, fmt.Errorf("is empty; name one or more of predict, read, metrics, admin and notify")
	}
	return all, nil
}

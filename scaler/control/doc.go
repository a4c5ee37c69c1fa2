// Package control keeps the orders that people give about groups, freeze and
// pause ([api.Control]), and says which of them is in force. It does not carry
// them out: package plan does, at every decision.
//
// All orders are in one object of the store, moved by compare-and-swap:
//
//	scaler/controls.json   {"format": 1, "controls": [{"kind": "freeze", "group": "*", …}, …]}
//
// There is at most one order of each kind for a group, and one of each kind for
// all groups together ([api.AllGroups]). What the object holds is either read
// whole or not at all: an order that cannot be understood must not be taken for
// no order.
package control

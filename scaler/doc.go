// Package scaler changes the size of groups before their load arrives. Every
// step it reads what is known of all groups, asks for forecasts, lets the pure
// package plan decide, carries the decisions out and records them.
//
// It is not the place where anything is decided (scaler/plan), nor where a
// provider is spoken to (scaler/asg, opened by scaler/targets).
//
// # The protocol of a tick
//
// A tick T is the end of the newest complete slot. Its decisions are made once,
// whoever dies when, and however many scalers run. Three objects in the store
// hold that together, the first two moved by compare-and-swap, the third written
// once and never changed:
//
//		scaler/lease.json   who may act, until when
//		scaler/state.json   each group's cooldowns, and the tick that is under way
//		audit/…/T-all.json  the record of T (internal/journal)
//
//		           lease                 intents                  record
//		 ┌──────┐ acquired ┌─────────┐ swapped in ┌──────────┐ written ┌──────────┐
//		 │ idle ├─────────►│ deciding├───────────►│ acting   ├────────►│ recorded │
//		 └──▲───┘  (1)(2)  └────┬────┘    (3)(4)  └────┬─────┘ (5)(6)  └────┬─────┘
//		    │                   │ dies                 │ dies               │ dies
//		    │   nothing was ◄───┘                      ▼                    ▼
//		    │   done: decide anew                 ┌──────────────────────────────┐
//		    │                                     │ the next scaler recovers (2) │
//		    │  state swapped: cooldowns in,       └──────────────┬───────────────┘
//		    └──intents out (7)───────────────────────────────────┘
//
//	 1. The lease is acquired. One that expired, or that this scaler's own
//	    predecessor held under the same id, is taken over.
//	 2. The state is loaded, and what people have ordered. If a tick is under way in
//	    it, it is completed first: its record stands when there is one. Otherwise each
//	    of its intents is judged by what the provider says now: desired is as
//	    intended, it was accepted; desired is as it was, the tick is still the present
//	    one and no order forbids it, the call is made again, harmlessly, because it
//	    names an absolute number; desired is as it was and the tick is over, or
//	    desired is something else, it was not and will not be carried out. Then its
//	    record is written.
//	 3. History, capacities, launches and forecasts are read, plan.Decide is called
//	    for every group and its shadow, and the fleet-wide brake is applied.
//	 4. The decisions enter the state as intents. Until here nothing has happened.
//	 5. For each group that shall change, the group and the lease are read again. If
//	    either is not as it was, the intent is skipped. Otherwise the provider is
//	    called, with a deadline shorter than what is left of the lease.
//	    All of it ends with the tick, however many groups a hanging provider has.
//	 6. The record is written. A record that another scaler wrote first stands.
//	 7. Cooldowns of what was accepted enter the state, the intents leave it.
//
// Why no decision is lost: from (4) on every intent is in the state until it is
// in a record, and (2) never passes one over. Why none is doubled: a tick that
// has a record is not decided again, a record is written once, and a repeated
// call names the same number. Why no cooldown is lost: intents leave the state
// only together with the cooldowns they started. When two scalers both believe
// that they hold the lease, the compare-and-swap of (4) lets one of them go on;
// when the lease is lost between (5) and the provider, both can only ask for the
// one number that the state names.
//
// What a record calls failed or skipped may have happened all the same: a lost
// answer, or another scaler that carried the intent out while the record was
// being written. Such a change stays unconfirmed in the state. When the next tick
// finds the provider at the intended number, the cooldown is entered for the tick
// of the intent, before anything else is decided.
//
// Where scalers on Kubernetes elect one of them (Config.Election), that is to save
// the others work. Nothing of the above rests on it.
//
// Dry-run decisions pass through the same protocol, without (5). They start no
// cooldown: each tick says what it would do with the group as it really is.
//
// # What a record holds
//
// Every decision carries all that it rests on: the group's configuration (by its
// place in TickRecord.Configs) with the lead time that was learned, its state
// before, the order in force, what was observed, and the forecast, cut to the steps
// that were read. What a record cannot hold is not decided upon. So the same program
// reaches the same decision from the record alone (plan.Again, scaler/audit).
//
// # What a process remembers
//
// Between two ticks a process remembers manifests, the orders last read, which
// models and groups were late, and the history that the models look back (memory).
// All of it is a matter of speed or of being better off in an outage: none of it is
// state, and a new process decides the same from the store and the lake.
//
// What is slow or fails costs itself: models that were late are asked last, and
// each request has half of the time that is left; what grows is carried out before
// what shrinks, and groups whose change failed come last; whose launches cannot be
// read loses its turn.
//
// # Shadows
//
// A group may have a shadow: another policy that decides at every tick from the
// same inputs, over the capacity that the group would have if the shadow had been in
// charge (imagined). Nothing of it is carried out. Instance-hours and minutes in
// breach of both are kept in the state, recorded, and shown as metrics.
package scaler

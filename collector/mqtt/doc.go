// Package mqtt receives the readings of sensors from an MQTT broker, over MQTT 5
// or 3.1.1, and publishes readings for agents and simulations. It stores nothing
// and reduces nothing: a reading goes to the collector as the sensor stated it.
//
// # The invariant
//
// A message of quality of service 1 is acknowledged only when its readings are on
// disk, which is what [collector.Emit] promises by returning nil. The session at
// the broker outlives the connection and the process (clean start is off), so
// that what was not acknowledged is delivered again after any stop. A delivery
// that comes twice is the same reading twice, and counts once in the lake.
//
// Acknowledging message by message would cost a write to disk each. What has
// arrived while one batch was being written becomes the next batch (group
// commit), so that a burst costs few writes and a lone reading does not wait.
//
// # Topics
//
//	forescale/v1/{group}/{sensor}/{metric}   one metric, named by the topic
//	forescale/v1/{group}/{sensor}            metrics named by the payload
//
// Group and sensor come from the topic alone, never from the payload, because
// topics are what a broker's access rules speak of: a sensor that may publish
// under its own topic only cannot speak for another one. In a level, the
// characters that topics give a meaning to are percent-encoded: "/" is %2F, "+"
// %2B, "#" %23 and "%" %25. Any other pattern of levels can be configured.
//
// # Payloads
//
// JSON as in reading.schema.json: one reading, several metrics at one time, or an
// array of either; see [Decode]. A message is taken whole or not at all. One that
// cannot be understood is counted, named in the log now and then, and
// acknowledged: sent again it would be no better, and it must not hold up the
// queue.
//
// # AWS IoT Core
//
// Its conventions are kept: at most 8 filters in a SUBSCRIBE, client ids of at
// most 128 bytes, quality of service 0 and 1, payloads up to 128 KB, topics of at
// most 256 bytes and 7 slashes, client certificates, and the protocol name
// x-amzn-mqtt-ca on port 443. A second client with the same id evicts the first:
// that is said in the log, and both sides back off instead of evicting each other
// in turn as fast as they can.
package mqtt

// Package hav1 is the protocol between agents, coordinator and operators, version 1:
// code generated from the .proto files beside it (make proto). Its secret is the bytes
// on the network. Only pkg/rpc may import it: everybody else speaks in pkg/ha's values.
package hav1

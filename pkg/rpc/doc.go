// Package rpc carries the vocabulary of pkg/ha between agents, coordinator and operators.
// Its secret is gRPC, protobuf and mutual TLS: outside of it nobody sees a message, a
// status code or a certificate, only values and errors of pkg/ha. There is no plaintext
// connection, and what a caller may do hangs on its certificate alone.
package rpc

// Package e2e tests psw-ha as a whole.
package e2e

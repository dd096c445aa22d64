// Package vm is a lab.
package vm

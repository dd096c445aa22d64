// Package bench sets this program beside the established ones on the same clusters:
// Ganeti's hcheck and hbal, Pacemaker's crm_simulate. Its secret is how one generated
// cluster is told to each of them, and what is compared.
package bench

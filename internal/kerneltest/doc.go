// SPDX-License-Identifier: Apache-2.0

// Package kerneltest decides which tests the running kernel can serve, keeps
// tests that switch accounting apart, and starts processes of known behaviour.
//
// It is the only way a test may skip: [Need] probes what a test asks for and
// skips with the reason, or fails when ELSA_KERNEL says that nothing may be
// left out.
package kerneltest

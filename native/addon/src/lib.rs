// SPDX-License-Identifier: Apache-2.0
//! lightvm-addon

//! Tensors, scalars and arrays of one call: metadata of the host, given back after the second phase.

use super::tensor::Tensor;
use crate::sys::constants::{aclDataType, aclFormat};
use crate::sys::executor::Api;
use crate::sys::types::{IA, S, T, TL};
use omnihal::{Error, ErrorKind, Result};
use std::ffi::c_void;

/// What one call made.
pub(crate) struct Handles<'a> {
    api: &'a Api,
    tensors: Vec<T>,
    lists: Vec<TL>,
    scalars: Vec<S>,
    arrays: Vec<IA>,
}

fn made<H>(handle: Result<*mut H>, api: &Api, call: &str) -> Result<*const H> {
    let handle = handle?;
    match handle.is_null() {
        false => Ok(handle),
        true => {
            let text = api.acl.recent_text();
            Err(Error::new(ErrorKind::OutOfMemory, format!("{call} made nothing: {text}: free memory of the host")))
        }
    }
}

impl<'a> Handles<'a> {
    pub(crate) fn new(api: &'a Api) -> Self {
        Handles { api, tensors: Vec::new(), lists: Vec::new(), scalars: Vec::new(), arrays: Vec::new() }
    }

    fn create(&self, tensor: &Tensor) -> Result<T> {
        let signed = |all: &[usize]| all.iter().map(|&n| n as i64).collect::<Vec<_>>();
        let (dims, strides, storage) = (signed(tensor.dims()), signed(tensor.strides()), [tensor.storage() as i64]);
        let (rank, offset, data) = (dims.len() as u64, tensor.offset() as i64, tensor.base() as *mut c_void);
        let format = aclFormat::ACL_FORMAT_ND;
        // SAFETY: the arrays have the lengths that are told; they are copied by the call.
        let handle = unsafe {
            self.api.base.aclCreateTensor(
                dims.as_ptr(),
                rank,
                tensor.kind(),
                strides.as_ptr(),
                offset,
                format,
                storage.as_ptr(),
                1,
                data,
            )
        };
        made(handle, self.api, "aclCreateTensor")
    }

    /// A tensor.
    pub(crate) fn t(&mut self, tensor: &Tensor) -> Result<T> {
        let handle = self.create(tensor)?;
        self.tensors.push(handle);
        Ok(handle)
    }

    /// A list of tensors, which owns them.
    pub(crate) fn list(&mut self, tensors: &[Tensor]) -> Result<TL> {
        let handles: Vec<T> = tensors.iter().map(|tensor| self.t(tensor)).collect::<Result<_>>()?;
        // SAFETY: the array is copied by the call.
        let list = unsafe { self.api.base.aclCreateTensorList(handles.as_ptr(), handles.len() as u64) };
        let list = made(list, self.api, "aclCreateTensorList")?;
        self.tensors.truncate(self.tensors.len() - handles.len());
        self.lists.push(list);
        Ok(list)
    }

    fn scalar(&mut self, value: *mut c_void, kind: aclDataType) -> Result<S> {
        // SAFETY: a value of the type, copied by the call.
        let scalar = made(unsafe { self.api.base.aclCreateScalar(value, kind) }, self.api, "aclCreateScalar")?;
        self.scalars.push(scalar);
        Ok(scalar)
    }

    /// A scalar of the type that goes with a tensor.
    pub(crate) fn s(&mut self, value: f32, of: &Tensor) -> Result<S> {
        let (mut real, mut word) = (value, value as i32);
        match of.kind() {
            aclDataType::ACL_INT32 => self.scalar((&raw mut word).cast(), aclDataType::ACL_INT32),
            _ => self.scalar((&raw mut real).cast(), aclDataType::ACL_FLOAT),
        }
    }

    /// A 32-bit integer.
    pub(crate) fn word(&mut self, mut value: i32) -> Result<S> {
        self.scalar((&raw mut value).cast(), aclDataType::ACL_INT32)
    }

    /// An array of one integer.
    pub(crate) fn one(&mut self, value: usize) -> Result<IA> {
        self.ints(&[value])
    }

    /// An array of integers.
    pub(crate) fn ints(&mut self, values: &[usize]) -> Result<IA> {
        let values: Vec<i64> = values.iter().map(|&value| value as i64).collect();
        // SAFETY: the array is copied by the call.
        let array = unsafe { self.api.base.aclCreateIntArray(values.as_ptr(), values.len() as u64) };
        let array = made(array, self.api, "aclCreateIntArray")?;
        self.arrays.push(array);
        Ok(array)
    }
}

impl Drop for Handles<'_> {
    fn drop(&mut self) {
        let base = &self.api.base;
        // A refusal leaks a little memory of the host: there is nobody to tell.
        for &tensor in &self.tensors {
            // SAFETY: made here, given back once.
            let _ = unsafe { base.aclDestroyTensor(tensor) };
        }
        for &list in &self.lists {
            // SAFETY: as above; its tensors left `tensors`.
            let _ = unsafe { base.aclDestroyTensorList(list) };
        }
        for &scalar in &self.scalars {
            // SAFETY: as above.
            let _ = unsafe { base.aclDestroyScalar(scalar) };
        }
        for &array in &self.arrays {
            // SAFETY: as above.
            let _ = unsafe { base.aclDestroyIntArray(array) };
        }
    }
}
